"""The diagnosis of a record: its state in one sentence and the next step, decided from the facts known of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypedDict


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDiagnosis:
    """The state of a record and why. `next`: the command to run next; None when there is nothing to do."""

    state: str
    says: str
    last_change: str | None = None
    field: str | None = None
    next: str | None = None


class RecordVerdict(TypedDict):
    """The fields of `RecordDiagnosis`."""

    state: str
    says: str
    last_change: str | None
    field: str | None
    next: str | None


class RowFacts(TypedDict):
    """When a mirror row changed and was confirmed. `whole_at`: since when it is known to be complete."""

    changed_at: datetime
    confirmed_at: datetime | None
    deleted_at: datetime | None
    whole_at: datetime | None


class WorkItemFacts(TypedDict):
    """The live work item of a record. `must_read`: the source is read, whatever its events say."""

    priority: int
    origin: str
    must_read: bool
    attempts: int
    snoozes: int
    crashes: int
    next_attempt_at: datetime
    leased_by: str | None
    leased_until: datetime | None
    last_error: str | None
    created_at: datetime
    correlation_id: str


class DeadLetterFacts(TypedDict):
    """An open dead letter."""

    id: int
    error_class: str
    error: str
    last_dead_at: datetime


class RejectionFacts(TypedDict):
    """A rejected webhook. `reason`: the code of the problem."""

    received_at: datetime
    reason: str


class PassFacts(TypedDict):
    """A completed pass. `mode`: full or incremental."""

    mode: str
    started_at: datetime


class VersionFacts(TypedDict):
    """A version of a record. `after_seconds`: since its event came; `run_mode`: of the run that wrote it, if one did.

    `changes`: JSON text of its fields, before and after.
    """

    at: datetime
    version: int
    correlation_id: str
    operation: str
    changes: str
    origin: str
    origin_id: str | None
    source_modified_at: datetime | None
    after_seconds: float | None
    run_mode: str | None
    run_requested_by: str | None


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
    row: RowFacts | None = None
    work_item: WorkItemFacts | None = None
    dead_letter: DeadLetterFacts | None = None
    rejected: RejectionFacts | None = None
    last_pass: PassFacts | None = None
    change: VersionFacts | None = None
    field: str | None = None
    origin_key: str | None = None
    value: str | None = None
    field_change: VersionFacts | None = None


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


def with_live_comparison(verdict: RecordVerdict, *, live_verdict: str, difference_count: int) -> RecordVerdict:
    """A verdict corrected by a comparison with the source now, so that it is never equal where they differ.

    `live_verdict` and `difference_count`: the verdict of that comparison, and how many fields differ.
    """
    says = _LIVE_DIFFERENCES.get(live_verdict)
    if says is None or verdict["state"] not in ("equal", "listed", "unconfirmed"):
        return verdict
    difference = says.format(f"{difference_count} field{'s' if difference_count != 1 else ''}")
    return {**verdict, "state": "different", "says": f"{difference} {verdict['says']}"}


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


def _state_of_row(facts: RecordFacts, row: RowFacts) -> _State:
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
    later_pass = _later_pass(facts.last_pass, row["confirmed_at"])
    return "equal", f"Equal to Zoho as of {clock(row['confirmed_at'])}{later_pass}.", None


def _live(facts: RecordFacts) -> str:
    return f"tds explain {facts.entity} {facts.source_id} --live"


def _later_pass(last_pass: PassFacts | None, confirmed_at: datetime) -> str:
    """A later pass would have brought any change since."""
    if last_pass is None or last_pass["started_at"] <= confirmed_at:
        return ""
    return f"; no later pass brought a change (the last: {last_pass['mode']}, {clock(last_pass['started_at'])})"


def _rejection(rejected: RejectionFacts) -> str:
    return (
        f"A webhook that names it was refused at {clock(rejected['received_at'])} ({rejected['reason']});"
        " what it said may be missing here."
    )


def _field_sentence(facts: RecordFacts) -> str:
    origin = f" It is Zoho's {facts.origin_key}." if facts.origin_key else ""
    if facts.field_change is None:
        return f"{facts.field} never had a value.{origin}"
    return _describe(f"{facts.field} is {facts.value}", facts.field_change) + f".{origin}"


#: Origins whose own names say little.
_ORIGINS = {"fed": "a change of another record"}


def _describe(what: str, change: VersionFacts) -> str:
    """`what: version 3, updated at … by webhook 12, 214 ms after it came`."""
    by = _ORIGINS.get(change["origin"], change["origin"])
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
