"""The scorecard of acceptance: decides from facts, line by line, whether an installation is ready for production."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

#: For so many days everything must have gone well.
WINDOW_DAYS: Final = 7
LEAST_SUCCESS, LEAST_UPTIME = 0.995, 0.995
MOST_DEAD_LETTERS = 10
UNDECIDED_HOURS = 24
P95_SECONDS = 60.0
LATENCY_SHARE = 0.95


class Verdict(StrEnum):
    """How a line, or the whole scorecard, stands."""

    PASS = "pass"  # noqa: S105 (no password)
    FAIL = "fail"
    NOT_PROVEN = "not_proven"


@dataclass(frozen=True, slots=True)
class ComparedEntity:
    """What the last comparison of an entity found; `match_percent` is None where there was none."""

    entity: str
    match_percent: Decimal | None
    agreement: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceFacts:
    """What the scorecard is decided from, measured over the last WINDOW_DAYS, or over less where less was seen.

    `seen_days`: since when there are any figures; `sampled_days`: since when uptime is sampled. Rates are None where
    nothing happened.
    """

    now: datetime
    seen_days: float
    sampled_days: float
    succeeded_count: int
    failed_count: int
    success_rate: float | None
    most_dead_letters: int
    open_dead_letters: int
    oldest_undecided_at: datetime | None
    undecided_count: int
    intervention_count: int
    last_intervention: str | None
    event_count: int
    p95_seconds: float | None
    share_in_time: float | None
    compared: Sequence[ComparedEntity]
    uptime_share: float | None
    down_seconds: float
    longest_gap: str | None


@dataclass(frozen=True, slots=True)
class ScorecardLine:
    """One requirement. `says`: its evidence in words; `evidence`: the figures; `mend`: what to do, empty if nothing."""

    name: str
    objective: str
    verdict: Verdict
    says: str
    evidence: Mapping[str, Any]
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """All requirements. It passes when each line does, and fails when one does."""

    verdict: Verdict
    at: datetime
    window_days: int
    lines: Sequence[ScorecardLine]


def decide(facts: AcceptanceFacts) -> Scorecard:
    """The scorecard that follows from the facts."""
    lines = [line(facts) for line in _LINES]
    verdicts = {line.verdict for line in lines}
    verdict = next((each for each in (Verdict.FAIL, Verdict.NOT_PROVEN) if each in verdicts), Verdict.PASS)
    return Scorecard(verdict, facts.now, WINDOW_DAYS, lines)


def _over_days(*, holds: bool, seen_days: float) -> tuple[Verdict, str]:
    """The verdict about something that must hold for WINDOW_DAYS, and how many of them were seen, in words.

    What does not hold fails on the first day; what holds is proven on the last.
    """
    if not holds:
        return Verdict.FAIL, ""
    if seen_days < WINDOW_DAYS:
        return Verdict.NOT_PROVEN, f"; {int(seen_days)} of {WINDOW_DAYS} days seen"
    return Verdict.PASS, ""


def percent(share: float) -> str:
    """A share in percent, never rounded up to what it does not reach."""
    return f"{int(share * 100_000) / 1000:.3f} %"


def _success(facts: AcceptanceFacts) -> ScorecardLine:
    name, objective = "success rate", f"over {LEAST_SUCCESS:.1%} for {WINDOW_DAYS} days"
    evidence = {
        "success_rate": facts.success_rate, "succeeded_count": facts.succeeded_count,
        "failed_count": facts.failed_count, "seen_days": facts.seen_days,
    }  # fmt: skip
    if facts.success_rate is None:
        says = f"nothing was synced by webhook or by request; {int(facts.seen_days)} of {WINDOW_DAYS} days seen"
        return ScorecardLine(name, objective, Verdict.NOT_PROVEN, says, evidence, "Connect Zoho: tds zoho status")
    verdict, seen = _over_days(holds=facts.success_rate > LEAST_SUCCESS, seen_days=facts.seen_days)
    says = f"{percent(facts.success_rate)}: {facts.succeeded_count:,} succeeded, {facts.failed_count:,} failed{seen}"
    mend = "See what failed: tds dead-letter" if verdict is Verdict.FAIL else ""
    return ScorecardLine(name, objective, verdict, says, evidence, mend)


def _dead_letters(facts: AcceptanceFacts) -> ScorecardLine:
    holds = facts.most_dead_letters < MOST_DEAD_LETTERS
    verdict, seen = _over_days(holds=holds, seen_days=facts.seen_days)
    mend = "Work them off: tds dead-letter" if facts.open_dead_letters else ""
    if not holds and not mend:
        mend = f"They are worked off; this passes {WINDOW_DAYS} days after there were so many"
    return ScorecardLine(
        "dead letters",
        f"fewer than {MOST_DEAD_LETTERS} open at any time for {WINDOW_DAYS} days",
        verdict,
        f"{facts.most_dead_letters} at once at the most, {facts.open_dead_letters} now{seen}",
        {
            "most_open_count": facts.most_dead_letters,
            "open_count": facts.open_dead_letters,
            "seen_days": facts.seen_days,
        },
        mend,
    )


def _undecided(facts: AcceptanceFacts) -> ScorecardLine:
    evidence = {"undecided_count": facts.undecided_count, "oldest_undecided_at": facts.oldest_undecided_at}
    name, objective = "dead letters decided", f"none waits for a decision for over {UNDECIDED_HOURS} hours"
    if facts.undecided_count and facts.oldest_undecided_at is not None:
        hours = (facts.now - facts.oldest_undecided_at).total_seconds() / 3600
        says = f"{facts.undecided_count} wait longer, the oldest for {hours:,.0f} hours"
        return ScorecardLine(name, objective, Verdict.FAIL, says, evidence, "Decide: tds dead-letter")
    return ScorecardLine(name, objective, Verdict.PASS, "none waits longer", evidence)


def _interventions(facts: AcceptanceFacts) -> ScorecardLine:
    verdict, seen = _over_days(holds=not facts.intervention_count, seen_days=facts.seen_days)
    says = f"{facts.intervention_count:,}, the last {facts.last_intervention}" if facts.intervention_count else "none"
    return ScorecardLine(
        "manual intervention",
        f"nobody put data right for {WINDOW_DAYS} days",
        verdict,
        says + seen,
        {"intervention_count": facts.intervention_count, "last_intervention": facts.last_intervention,
         "seen_days": facts.seen_days},
        "See who did what: tds audit actions" if facts.intervention_count else "",
    )  # fmt: skip


def _latency(facts: AcceptanceFacts) -> ScorecardLine:
    name, objective = "latency", f"p95 from webhook to row under {P95_SECONDS:.0f} s for {WINDOW_DAYS} days"
    evidence = {
        "p95_seconds": facts.p95_seconds, "share_in_time": facts.share_in_time, "event_count": facts.event_count,
        "seen_days": facts.seen_days,
    }  # fmt: skip
    if facts.share_in_time is None:
        says = f"no webhook came; {min(int(facts.seen_days), WINDOW_DAYS)} of {WINDOW_DAYS} days seen"
        return ScorecardLine(name, objective, Verdict.NOT_PROVEN, says, evidence, "See: tds zoho webhooks")
    verdict, seen = _over_days(holds=facts.share_in_time >= LATENCY_SHARE, seen_days=facts.seen_days)
    p95 = "over an hour" if facts.p95_seconds is None else f"under {facts.p95_seconds:g} s"
    says = (
        f"p95 {p95}; {percent(facts.share_in_time)} of {facts.event_count:,} webhooks under {P95_SECONDS:.0f} s{seen}"
    )
    mend = "See what waits: tds queue" if verdict is Verdict.FAIL else ""
    return ScorecardLine(name, objective, verdict, says, evidence, mend)


def _reconciliation(facts: AcceptanceFacts) -> ScorecardLine:
    unknown = [each.entity for each in facts.compared if not _is_proven(each, facts.now)]
    differing = [each for each in facts.compared if each.match_percent is not None and each.match_percent < 100]
    evidence = {
        "match_percent": {each.entity: each.match_percent for each in facts.compared},
        "oldest_at": min((each.ended_at for each in facts.compared if each.ended_at), default=None),
    }
    verdict, says, mend = Verdict.PASS, f"all {len(facts.compared)} entities are equal", ""
    if differing:
        found = ", ".join(f"{each.entity} {each.match_percent:.2f} %" for each in differing)
        verdict, says, mend = Verdict.FAIL, f"differ: {found}", "See what differs: tds compare"
    elif unknown or not facts.compared:
        verdict, mend = Verdict.NOT_PROVEN, "Compare with Zoho: tds compare"
        says = "not proven yet: " + ("nothing was compared" if len(unknown) == len(facts.compared) else _some(unknown))
    objective = f"100 % in a comparison of the last {WINDOW_DAYS} days"
    return ScorecardLine("reconciliation", objective, verdict, says, evidence, mend)


def _is_proven(compared: ComparedEntity, now: datetime) -> bool:
    if compared.match_percent is None or compared.ended_at is None or compared.agreement == "unproven":
        return False
    return (now - compared.ended_at).days < WINDOW_DAYS


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _uptime(facts: AcceptanceFacts) -> ScorecardLine:
    name, objective = "uptime", f"at least {LEAST_UPTIME:.1%} for {WINDOW_DAYS} days; what was not sampled was down"
    evidence = {
        "uptime_share": facts.uptime_share, "down_seconds": facts.down_seconds, "longest_gap": facts.longest_gap,
        "sampled_days": facts.sampled_days,
    }  # fmt: skip
    if facts.uptime_share is None:
        says = f"never sampled; 0 of {WINDOW_DAYS} days seen"
        return ScorecardLine(name, objective, Verdict.NOT_PROVEN, says, evidence, "Start TDS: tds up")
    verdict, seen = _over_days(holds=facts.uptime_share >= LEAST_UPTIME, seen_days=facts.sampled_days)
    gap = f", at the longest {facts.longest_gap}" if facts.longest_gap else ""
    hours = min(facts.sampled_days, WINDOW_DAYS) * 24
    says = f"{percent(facts.uptime_share)}, down for {facts.down_seconds / 60:,.1f} min of {hours:,.1f} h{gap}{seen}"
    mend = "See what stands still: tds health" if verdict is Verdict.FAIL else ""
    return ScorecardLine(name, objective, verdict, says, evidence, mend)


_LINES: tuple[Callable[[AcceptanceFacts], ScorecardLine], ...] = (
    _success, _dead_letters, _undecided, _interventions, _latency, _reconciliation, _uptime,
)  # fmt: skip
