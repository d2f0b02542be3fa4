"""The diagnosis of a record: its state in one sentence and the next step, decided from the facts known of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Known = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDiagnosis:
    """The state of a record and why. `next`: the command to run next; None when there is nothing to do."""

    state: str
    says: str
    last_change: str | None = None
    field: str | None = None
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFacts:
    """What a diagnosis is made from; None stands for what does not exist.

    `row`: the mirror's row; `work_item`: its live work item; `dead_letter`: its newest open one; `rejected`: the newest
    rejected webhook that names it; `last_pass`: the newest completed pass over its stream; `change`: its newest
    version. Of the field asked about: `origin_key`, its name at Zoho; `value`; `field_change`, the newest version that
    changed it.
    """

    entity: str
    source_id: str
    row: Known | None = None
    work_item: Known | None = None
    dead_letter: Known | None = None
    rejected: Known | None = None
    last_pass: Known | None = None
    change: Known | None = None
    field: str | None = None
    origin_key: str | None = None
    value: str | None = None
    field_change: Known | None = None


_LIVE_DIFFERENCES = {
    "different": "Zoho says otherwise now, in {}. Before that:",
    "only_here": "Zoho says now that it has no such record. Before that:",
    "unreadable": "What Zoho says now breaks the rules. Before that:",
}
_State = tuple[str, str, str | None]


def diagnose_record(facts: RecordFacts) -> RecordDiagnosis:
    """Decide the state; whatever keeps the record from being equal comes before the time when it was equal last."""
    state, says, step = _state(facts)
    return RecordDiagnosis(
        state=state,
        says=says,
        last_change=_describe("last change", facts.change) if facts.change else None,
        field=_field_sentence(facts) if facts.field else None,
        next=step,
    )


def with_live_comparison(diagnosis: Mapping[str, Any], live: Mapping[str, Any]) -> Mapping[str, Any]:
    """A diagnosis corrected by a comparison with the source now, so that it is never equal where they differ."""
    says, count = _LIVE_DIFFERENCES.get(live["verdict"]), len(live["differences"])
    if says is None or diagnosis["state"] not in ("equal", "listed", "unconfirmed"):
        return dict(diagnosis)
    difference = says.format(f"{count} field{'s' if count != 1 else ''}")
    return {**diagnosis, "state": "different", "says": f"{difference} {diagnosis['says']}"}


def _state(facts: RecordFacts) -> _State:
    if dead_letter := facts.dead_letter:
        failed_at, error = clock(dead_letter["last_dead_at"]), dead_letter["error"]
        says = f"A change was given up at {failed_at} ({dead_letter['error_class']}): {error}"
        return "dead_letter", says, f"tds dead-letter show {dead_letter['id']}"
    if work_item := facts.work_item:
        error = f"; the last attempt failed: {work_item['last_error']}" if work_item["last_error"] else ""
        return "owed", f"A change is known and not brought over yet{error}.", None
    return _state_without_row(facts) if facts.row is None else _state_of_row(facts, facts.row)


def _state_without_row(facts: RecordFacts) -> _State:
    if facts.rejected:
        return "refused", _rejection(facts.rejected), _live(facts)
    step = f"tds sync {facts.entity} --mode targeted --id {facts.source_id} --wait"
    return "unknown", "TDS has never heard of it.", step


def _state_of_row(facts: RecordFacts, row: Known) -> _State:
    if row["deleted_at"] is not None:
        return "deleted", f"Zoho no longer has it, as TDS learned at {clock(row['deleted_at'])}.", _live(facts)
    seen_at = row["confirmed_at"] or row["changed_at"]
    if facts.rejected and facts.rejected["received_at"] > seen_at:
        return "refused", _rejection(facts.rejected), _live(facts)
    if row["confirmed_at"] is None:
        says = f"As a webhook said at {clock(row['changed_at'])}; Zoho's API has not shown this version yet."
        return "unconfirmed", says, _live(facts)
    if row["whole_at"] is None:
        says = (
            f"As a list of Zoho's showed it at {clock(row['confirmed_at'])}; what lists do not show has not been read"
            " since it changed."
        )
        return "listed", says, _live(facts)
    return "equal", f"Equal to Zoho as of {clock(row['confirmed_at'])}{_later_pass(facts)}.", None


def _live(facts: RecordFacts) -> str:
    return f"tds explain {facts.entity} {facts.source_id} --live"


def _later_pass(facts: RecordFacts) -> str:
    """A later pass would have brought any change since."""
    last_pass = facts.last_pass
    if last_pass is None or facts.row is None or last_pass["started_at"] <= facts.row["confirmed_at"]:
        return ""
    return f"; no later pass brought a change (the last: {last_pass['mode']}, {clock(last_pass['started_at'])})"


def _rejection(rejected: Known) -> str:
    return (
        f"A webhook that names it was refused at {clock(rejected['received_at'])} ({rejected['reason']});"
        " what it said may be missing here."
    )


def _field_sentence(facts: RecordFacts) -> str:
    origin = f" It is Zoho's {facts.origin_key}." if facts.origin_key else ""
    if facts.field_change is None:
        return f"{facts.field} never had a value.{origin}"
    return _describe(f"{facts.field} is {facts.value}", facts.field_change) + f".{origin}"


def _describe(what: str, change: Known) -> str:
    """`what: version 3, updated at … by webhook 12, 214 ms after it came`."""
    by = change["origin"]
    if change["origin_id"]:
        by += f" {change['origin_id']}"
    if change["run_mode"]:
        by += f" ({change['run_mode']}, asked by {change['run_requested_by']})"
    after = change["after_seconds"]
    came = f", {after * 1000:,.0f} ms after it came" if after is not None and change["origin"] == "webhook" else ""
    at = clock(change["at"])
    return f"{what}: version {change['version']}, {change['operation']} at {at} by {by}{came}"


def clock(moment: datetime) -> str:
    """A time in UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
