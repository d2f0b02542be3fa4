"""Views of comparisons: the table of entities, the records that differ, and the plan of a repair."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape

from tds_api.cli.common.output import moment, say_table
from tds_api.cli.comparison.backend import RepairPrice
from tds_core.comparison.queries import ComparisonStatus, DifferenceRow, FieldDifference, PartStatus
from tds_models.comparison import Agreement, ComparisonState, DifferenceKind, DifferenceState

_COLUMNS = (
    "entity", "here", "there", "equal", "different", "missing here", "missing there", "match %", "score",
    "fields proven",
)  # fmt: skip
_RECORD_COLUMNS = ("entity", "record", "field", "here", "there", "cause", "since (UTC)")
_PLAN_COLUMNS = ("entity", "records", "calls", "kept", "left until asked")
#: So many values of one record are shown.
MOST_VALUES = 12
_STYLE = {Agreement.EQUAL: "green", Agreement.DIFFERS: "bold red", Agreement.UNPROVEN: "yellow"}


def show_comparison(status: ComparisonStatus, console: Console) -> None:
    """Print a comparison: each entity, and what that comes to."""
    say_table(f"Comparison {status['id']}", _COLUMNS, map(_row, status["parts"]), console=console)
    console.print(f"\n{_headline(status)}", soft_wrap=True)


def _row(part: PartStatus) -> tuple[Any, ...]:
    return (
        part["entity"], part["here_count"], part["there_count"], part["equal_count"], part["different_count"],
        part["missing_here_count"], part["missing_there_count"], part["match_percent"], part["score"], _how(part),
    )  # fmt: skip


def _how(part: PartStatus) -> str:
    """How the fields of an entity are proven, or why they are not."""
    if part["agreement"] is None:
        return f"still being compared: {part['waits_for']}" if part["waits_for"] else "still being compared"
    if part["agreement"] == Agreement.UNPROVEN:
        return f"unproven: {part['reason'] or part['state']}"
    grades: Mapping[str, Any] = part["grades"]
    words = [
        f"{len(grades[key])} {word}"
        for key, word in (("by_list", "by list"), ("by_detail", "by detail"), ("inferred", "inferred"))
        if grades.get(key)
    ]
    sample = grades.get("sample")
    if sample and grades.get("inferred"):
        bound = "" if sample["at_most"] is None else f": at most {sample['at_most']:.1%}"
        words[-1] += f" ({sample['size']:,} read{bound})"
    return ", ".join(words)


def _headline(status: ComparisonStatus) -> str:
    agreement = status["agreement"]
    if agreement is None:
        return "[yellow]Not ended yet: nothing is proven.[/]"
    records = sum(max(part["here_count"] or 0, part["there_count"] or 0) for part in status["parts"])
    price = f"{records:,} records of {len(status['parts'])} entities, {status['api_call_count']:,} calls"
    says = {
        Agreement.EQUAL: "Equal: every record here equals the record there",
        Agreement.DIFFERS: f"Differs: {status['difference_count']:,} records",
        Agreement.UNPROVEN: "Unproven: what could not be compared is not to be read as equal",
    }[Agreement(agreement)]
    if status["state"] != ComparisonState.COMPLETED:
        says += f" (it was {status['state']})"
    score = "" if status["score"] is None else f", score {status['score']}"
    stated = f"; statement {status['statement']}" if status["statement"] is not None else ""
    as_of = f", ended {moment(status['ended_at'])}" if status["ended_at"] else ""
    return f"[{_STYLE[Agreement(agreement)]}]{escape(says)}[/] ({price}{score}{as_of}{stated})."


def show_differences(title: str, differences: Sequence[DifferenceRow], console: Console) -> None:
    """Print what differs, field by field."""
    rows = [row for each in differences for row in _record_rows(each)]
    say_table(title, _RECORD_COLUMNS, rows, console=console)


def _record_rows(difference: DifferenceRow) -> Iterator[tuple[Any, ...]]:
    since = f"{difference['since']:%Y-%m-%d %H:%M}" if isinstance(difference["since"], datetime) else None
    if difference["state"] == DifferenceState.SUSPECT:
        cause = f"not decided: {difference['suspected_for']}"
    else:
        cause = difference["explanation"] or ""
    values = list(_values(difference)) or [("the order of lines", "", "")]
    for name, here, there in values[:MOST_VALUES]:
        yield difference["entity"], difference["source_id"], name, here, there, cause, since
    if (more := len(values) - MOST_VALUES) > 0:
        words = f"and {more:,} more: tds explain, or --json"
        yield difference["entity"], difference["source_id"], words, "", "", cause, since


def _values(difference: DifferenceRow) -> Iterator[tuple[str, str, str]]:
    """Each field with both values; a record that one side lacks in one row."""
    if difference["kind"] == DifferenceKind.MISSING_HERE:
        yield "the record", "missing", "there"
    elif difference["kind"] == DifferenceKind.MISSING_THERE:
        yield "the record", "there", "missing"
    elif not difference["fields"]:
        yield "", "", ""
    else:
        for each in difference["fields"]:
            yield from _field_values(each)


def _field_values(difference: FieldDifference) -> Iterator[tuple[str, str, str]]:
    """A field with both values; of lines only what differs, line by line."""
    name, here, there = difference["field"], difference["here"], difference["there"]
    if not (_is_lines(here) and _is_lines(there) and (here or there)):
        yield name, _spelled(here), _spelled(there)
        return
    for ours, theirs in _pairs(here, there):
        place = f"{name}[{(ours or theirs or {}).get('position', 0) + 1}]"
        if ours is None or theirs is None:
            yield place, _spelled(ours), _spelled(theirs)
            continue
        keys = [key for key in dict.fromkeys([*ours, *theirs]) if key != "position"]
        for key in keys:
            if ours.get(key) != theirs.get(key):
                yield f"{place}.{key}", _spelled(ours.get(key)), _spelled(theirs.get(key))


_Line = dict[str, Any]


def _pairs(here: Sequence[_Line], there: Sequence[_Line]) -> Iterator[tuple[_Line | None, _Line | None]]:
    """The lines of both sides, side by side: by their id where all have one, else by their place."""
    if all(each.get("line_id") for each in (*here, *there)):
        ours, theirs = ({each["line_id"]: each for each in side} for side in (here, there))
        yield from ((ours.get(key), theirs.get(key)) for key in dict.fromkeys([*ours, *theirs]))
    else:
        yield from zip_longest(here, there)


def _is_lines(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _spelled(value: Any) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()


def show_plan(plan: RepairPrice, console: Console) -> None:
    """Print what a repair does, and what it costs."""
    rows = [
        (part["entity"], part["record_count"], part["api_call_count"], part["kept_count"], part["asked_count"])
        for part in plan["parts"]
    ]
    say_table(f"Repair of comparison {plan['comparison_id']}", _PLAN_COLUMNS, rows, console=console)
    console.print(
        f"{plan['record_count']:,} records are read again from the source and applied:"
        f" {plan['api_call_count']:,} calls, about {_duration(plan['seconds'])}.",
        soft_wrap=True,
    )


def _duration(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"
