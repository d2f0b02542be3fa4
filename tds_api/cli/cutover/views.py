"""Views of the cutover: results of days, who is right, and what stands in the way of the promotion."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from tds_api.cli.common.output import moment, say, say_table
from tds_core.cutover.days import DayResult, EntityReadiness, StoredDifference
from tds_core.cutover.promotion import Promotion
from tds_models.cutover import Verdict

_RESULT_COLUMNS = (
    "day", "entity", "old", "here", "equal", "different", "missing old", "missing here", "copies", "old wrong",
    "TDS wrong", "both wrong", "meanwhile", "not asked", "fields",
)  # fmt: skip
_READINESS_COLUMNS = ("entity", "clean days", "in the way")
_DIFFERENCE_COLUMNS = ("record", "how", "fields", "verdict", "judged")
#: So many fields of an entity are named.
MOST_FIELDS = 5


def document(result: DayResult) -> dict[str, Any]:
    """A result for programs."""
    return {**asdict(result), "is_tds_wrong": result.is_tds_wrong}


def readiness_document(readiness: EntityReadiness) -> dict[str, Any]:
    """How an entity stands, for programs."""
    newest = document(readiness.newest) if readiness.newest else None
    return {**asdict(readiness), "newest": newest, "is_ready": not readiness.problems}


def sentence(result: DayResult) -> str:
    """A result in one line."""
    return (
        f"{result.entity}: {result.old_count:,} old, {result.here_count:,} here, {result.equal_count:,} equal;"
        f" {result.tds_wrong_count + result.both_wrong_count:,} times TDS is wrong"
    )


def show_results(title: str, results: Sequence[DayResult], console: Console) -> None:
    """Print results, one row each."""
    say_table(title, _RESULT_COLUMNS, map(_row, results), console=console)


def _row(result: DayResult) -> tuple[Any, ...]:
    ranked = sorted(result.field_counts.items(), key=lambda pair: -pair[1])[:MOST_FIELDS]
    if result.ended_at is None:
        return (str(result.day), result.entity, *[""] * (len(_RESULT_COLUMNS) - 3), "it did not end")
    return (
        str(result.day), result.entity, result.old_count, result.here_count, result.equal_count,
        result.different_count, result.missing_old_count, result.missing_here_count, result.duplicate_count,
        result.old_wrong_count, result.tds_wrong_count, result.both_wrong_count, result.changed_meanwhile_count,
        result.not_asked_count, " ".join(f"{name}:{count}" for name, count in ranked),
    )  # fmt: skip


def show_next_steps(results: Sequence[DayResult]) -> None:
    """Say what to do about what was found."""
    for each in results:
        if each.is_tds_wrong:
            say(f"TDS is wrong about {each.entity}: tds migrate-from differences {each.entity} --verdict"
                f" {Verdict.TDS_WRONG}; why: tds explain {each.entity} ID --live")  # fmt: skip
    if any(each.not_asked_count for each in results):
        say("Of some it is not known who is right: compare again with a larger --deep; verdicts are remembered.")


def show_readiness(found: Sequence[EntityReadiness], days: int, console: Console) -> None:
    """Print how each entity stands."""
    rows = [(each.entity, f"{each.clean_day_count} of {days}", "; ".join(each.problems)) for each in found]
    say_table("Ready to take the place of the old tables?", _READINESS_COLUMNS, rows, console=console)
    if any(each.problems for each in found):
        say("Not yet. Compare every day: tds migrate-from compare --mapping FILE")
    else:
        say("Ready: tds migrate-from promote --mapping FILE --dry-run shows what would be done.")


def show_differences(entity: str, found: Sequence[StoredDifference], console: Console) -> None:
    """Print records that differ."""
    rows = [(each.source_id, each.kind, " ".join(each.fields), each.verdict, each.judged_at) for each in found]
    say_table(f"{entity}: where the old table and the mirror differ", _DIFFERENCE_COLUMNS, rows, console=console)


def show_promotion(standing: Promotion) -> None:
    """Print the promotion that stands."""
    forced = f", forced: {standing.reason}" if standing.reason else ""
    say(f"{standing.promoted_by} promoted it {moment(standing.promoted_at)} ({len(standing.steps)} steps{forced}). The"
        " mirror stands under the old names. Back: tds migrate-from fallback --reason ...")  # fmt: skip
