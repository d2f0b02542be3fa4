"""Webhook coverage for any history: steps of any size at any moments count what one look at all of it counts.

The expectation is told once more in plain Python, without SQL.
"""

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from tests.support.hypothesis_effort import effort
from tests.support.webhook_history import WebhookHistory

#: Minutes from the beginning of a history to now.
LENGTH = 300
GRACE = 1


@dataclass(frozen=True)
class Change:
    """A change at `made`, found at `found`, by a webhook or by polling; webhooks that name it come at `told`."""

    made: int
    found: int
    by_webhook: bool
    told: tuple[int, ...]
    refused: int | None


@st.composite
def records(draw: st.DrawFn) -> list[Change]:
    """The changes of one record, each found before the next is made."""
    times = sorted(draw(st.lists(st.integers(0, LENGTH - 10), max_size=8, unique=True)))
    changes = []
    for made, found in list(pairwise(times))[::2]:
        told = tuple(min(made + delay, LENGTH) for delay in draw(st.lists(st.integers(0, 120), max_size=3)))
        refused = draw(st.none() | st.integers(0, 60).map(lambda delay, made=made: made + delay))
        changes.append(Change(made, found, draw(st.booleans()), told, refused))
    return changes


def expected(changes: list[Change]) -> dict[str, int]:
    """How each change was announced, from all that is known in the end."""
    counts: dict[str, int] = {}
    for number, change in enumerate(changes):
        verdict = "webhook" if change.by_webhook else verdict_of(change, changes[:number], changes[number:])
        counts[verdict] = counts.get(verdict, 0) + 1
    return counts


def verdict_of(change: Change, before: list[Change], since: list[Change]) -> str:
    deadline = max(change.found, change.made + GRACE)
    if any(at <= deadline for each in since for at in each.told):
        return "in_time"
    if change.told:
        return "late"
    refusals = [each.refused for each in (*before, *since) if each.refused is not None]
    older = [at for each in before for at in each.told]
    if any(change.made - GRACE <= at <= change.found + GRACE for at in refusals):
        return "wrong"
    return "wrong" if any(change.made <= at <= change.found + GRACE for at in older) else "never"


def write(history: WebhookHistory, name: str, changes: list[Change], from_minute: int, to_minute: int) -> None:
    """Write down what happened to a record after one minute, up to another."""
    for change in changes:
        for at in change.told:
            if from_minute < at <= to_minute:
                history.webhook(name, of=LENGTH - change.made, received=LENGTH - at)
        if change.refused is not None and from_minute < change.refused <= to_minute:
            history.refused(name, received=LENGTH - change.refused)
        if from_minute < change.found <= to_minute:
            origin = "webhook" if change.by_webhook else "run"
            history.change(name, changed=LENGTH - change.made, found=LENGTH - change.found, origin=origin)


def forget(history: WebhookHistory) -> None:
    """Begin anew behind the history there is, which cannot be deleted."""
    for table in ("tds_webhook_coverage", "tds_webhook_gaps", "tds_inbox_events", "tds_rejected_deliveries"):
        history.rows(f"delete from {table}")
    history.rows(
        "update tds_webhook_coverage_position set received_until = null,"
        " entry_id = (select coalesce(max(id), 0) from tds_audit_trail)"
    )


def test_steps_at_any_moments_count_what_one_look_counts(engine: Engine) -> None:
    base = WebhookHistory(engine)
    base.begin()
    example = iter(range(1_000_000))

    @effort(60)
    @given(st.lists(records(), min_size=1, max_size=3), st.lists(st.integers(0, LENGTH), max_size=4), st.integers(1, 5))
    def check(histories: list[list[Change]], looks: list[int], limit: int) -> None:
        wanted: dict[str, int] = {}
        for changes in histories:
            for verdict, count in expected(changes).items():
                wanted[verdict] = wanted.get(verdict, 0) + count
        for moments in ([], sorted(looks)):
            history, prefix = WebhookHistory(engine), next(example)
            forget(history)
            done = -1
            for moment in (*moments, LENGTH):
                for number, changes in enumerate(histories):
                    write(history, f"{prefix}-{number}", changes, done, moment)
                # What was found in the last two minutes of a moment waits, as it does in life.
                history.measure(settle_seconds=(LENGTH - moment + 2) * 60, limit=limit)
                history.measure(settle_seconds=(LENGTH - moment + 2) * 60, limit=limit)
                history.rows(
                    "update tds_webhook_coverage_position set received_until = :at", at=history.at(LENGTH - moment)
                )
                done = moment
            history.measure(limit=limit)
            assert history.counts() == wanted
            assert len(history.gaps()) == sum(wanted.get(each, 0) for each in ("late", "never", "wrong"))

    check()
