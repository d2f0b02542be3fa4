"""The verdict of a story: how a record stands, decided from what is known of it, in a sentence and the next step."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Known = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """How a record stands. `next`: a command to go on with, where there is something to do."""

    state: str
    says: str
    last_change: str | None = None
    field: str | None = None
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFacts:
    """What a verdict is made of; what is None is not there.

    `row`, `owed`: the mirror's row and the live work item; `letter`: its newest open dead letter; `refused`: the newest
    refused delivery that named it; `passed`: the newest completed pass over its stream; `change`: its newest version;
    `setting`: the newest version that changed the field that was asked about; `origin_key`: what Zoho calls that field.
    """

    entity: str
    source_id: str
    row: Known | None = None
    owed: Known | None = None
    letter: Known | None = None
    refused: Known | None = None
    passed: Known | None = None
    change: Known | None = None
    field: str | None = None
    origin_key: str | None = None
    value: str | None = None
    setting: Known | None = None


def judge(stands: RecordFacts) -> Diagnosis:
    """The verdict: what keeps a record from being equal comes before the time it was equal last."""
    state, says, step = _state(stands)
    return Diagnosis(
        state=state,
        says=says,
        last_change=_sentence("last change", stands.change) if stands.change else None,
        field=_of_field(stands) if stands.field else None,
        next=step,
    )


def beside(verdict: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict in the light of what the source says of the record now: it never says equal of what differs."""
    says, count = _OTHERWISE.get(found["verdict"]), len(found["differences"])
    if says is None or verdict["state"] not in ("equal", "listed", "unconfirmed"):
        return dict(verdict)
    what = says.format(f"{count} field{'s' if count != 1 else ''}")
    return {**verdict, "state": "different", "says": f"{what} {verdict['says']}"}


_OTHERWISE = {
    "different": "Zoho says otherwise now, in {}. Before that:",
    "only_here": "Zoho says now that it has no such record. Before that:",
    "unreadable": "What Zoho says now breaks the rules. Before that:",
}
_State = tuple[str, str, str | None]


def _state(stands: RecordFacts) -> _State:
    if letter := stands.letter:
        says = f"A change was given up at {clock(letter['last_dead_at'])} ({letter['error_class']}): {letter['error']}"
        return "dead_letter", says, f"tds dead-letter show {letter['id']}"
    if owed := stands.owed:
        error = f"; the last attempt failed: {owed['last_error']}" if owed["last_error"] else ""
        return "owed", f"A change is known and not brought over yet{error}.", None
    return _of_stranger(stands) if stands.row is None else _of_row(stands, stands.row)


def _of_stranger(stands: RecordFacts) -> _State:
    if stands.refused:
        return "refused", _refusal(stands.refused), _live(stands)
    step = f"tds sync {stands.entity} --mode targeted --id {stands.source_id} --wait"
    return "unknown", "TDS has never heard of it.", step


def _of_row(stands: RecordFacts, row: Known) -> _State:
    if row["deleted_at"] is not None:
        return "deleted", f"Zoho no longer has it, as TDS learned at {clock(row['deleted_at'])}.", _live(stands)
    seen_at = row["confirmed_at"] or row["changed_at"]
    if stands.refused and stands.refused["received_at"] > seen_at:
        return "refused", _refusal(stands.refused), _live(stands)
    if row["confirmed_at"] is None:
        says = f"As a webhook said at {clock(row['changed_at'])}; Zoho's API has not shown this version yet."
        return "unconfirmed", says, _live(stands)
    if row["whole_at"] is None:
        says = (
            f"As a list of Zoho's showed it at {clock(row['confirmed_at'])}; what lists do not show has not been read"
            " since it changed."
        )
        return "listed", says, _live(stands)
    return "equal", f"Equal to Zoho as of {clock(row['confirmed_at'])}{_passed(stands)}.", None


def _live(stands: RecordFacts) -> str:
    return f"tds explain {stands.entity} {stands.source_id} --live"


def _passed(stands: RecordFacts) -> str:
    """Later passes would have brought what changed since."""
    passed = stands.passed
    if passed is None or stands.row is None or passed["started_at"] <= stands.row["confirmed_at"]:
        return ""
    return f"; no later pass brought a change (the last: {passed['mode']}, {clock(passed['started_at'])})"


def _refusal(refused: Known) -> str:
    return (
        f"A webhook that names it was refused at {clock(refused['received_at'])} ({refused['reason']});"
        " what it said may be missing here."
    )


def _of_field(stands: RecordFacts) -> str:
    origin = f" It is Zoho's {stands.origin_key}." if stands.origin_key else ""
    if stands.setting is None:
        return f"{stands.field} never had a value.{origin}"
    return _sentence(f"{stands.field} is {stands.value}", stands.setting) + f".{origin}"


def _sentence(what: str, change: Known) -> str:
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
    """A moment by the clock, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
