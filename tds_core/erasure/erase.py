"""Erasing a person: shows what TDS has of them, and erases it from rows, history, events and logs in one transaction.

Ids and times stay, and so does the fact that something was there: a sealed note says what was erased, by whom and why.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail import chain, erasure_notes
from tds_core.audit_trail.erasure_notes import ErasedContent
from tds_core.audit_trail.seal_keys import SealKey
from tds_core.erasure import bodies, mirror_rows, places
from tds_core.erasure.log_files import matches_in
from tds_core.erasure.person import InvalidPersonError, Person, PersonKey, read_person
from tds_core.erasure.scrub import Scrubber, document_scrubber, own_scrubber, pattern_of
from tds_core.errors import TdsError
from tds_core.sources.base import Source, Traffic
from tds_models.db import set_statement_timeout
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

log = structlog.get_logger(__name__)

#: The time limit of one statement: small tables are read whole.
STATEMENT_SECONDS: Final = 600
#: What no erasure reaches; each answer says so.
OUT_OF_REACH: Final = (
    "Zoho itself: erase or anonymise the person there first. What documents there still say comes back when they change"
    " or are compared: then erase again.",
    "Backups made before now, and write-ahead logs kept for them: they end with their retention; after a restore erase"
    " again.",
    "Log lines that were shipped elsewhere, or are on another machine than this.",
    "Copies that others made of the mirror, and webhooks already delivered to subscribers.",
)

_NOTED = text("""
select max(number) from tds_audit_seals where kind = 'erased' and starts_with(note, :begins)
""")
_DROP_PROOFS = text("delete from tds_record_proofs where entity = :entity and source_id = any(:ids)")

#: Opens a transaction.
Scope = Callable[[], AbstractContextManager[Session]]


class PersonExistsError(TdsError):
    """Zoho has the person, or does not say that it has not: the next sync would bring back what was erased."""

    code = "person_exists"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPlace:
    """Where values of the person stand. `entity`: whose records; empty where a place is searched by values alone."""

    table: str
    entity: str
    row_count: int
    ids: list[str]


@dataclass(slots=True, kw_only=True)
class ErasureReport:
    """What TDS has of a person, or had. `note_number`: the seal that says that it was erased; None before."""

    entity: str
    source_id: str
    places: list[FoundPlace] = field(default_factory=list)
    value_count: int = 0
    document_count: int = 0
    log_files: dict[str, int] = field(default_factory=dict)
    out_of_reach: tuple[str, ...] = OUT_OF_REACH
    note_number: int | None = None

    @property
    def row_count(self) -> int:
        """How many rows hold something."""
        return sum(each.row_count for each in self.places)


@dataclass(slots=True)
class _Pass:
    """One pass over all places, which writes unless it only looks."""

    session: Session
    person: Person
    report: ErasureReport
    writes: bool
    sealed: list[ErasedContent] = field(default_factory=list)

    def run(self) -> None:
        for entity, ids, scrubber in self._records():
            self._mirror(entity, ids, scrubber)
            for place in places.OF_RECORDS:
                rows = places.rows_of_records(self.session, place, entity.name, ids, scrubber, locks=self.writes)
                self._rows(place, entity.name, rows)
            if self.writes:
                self.session.execute(_DROP_PROOFS, {"entity": entity.name, "ids": list(ids)})
        anywhere = Scrubber(pattern_of(self.person.values))
        for place in places.OF_VALUES:
            self._rows(place, "", places.rows_with_values(self.session, place, anywhere, locks=self.writes))
        self._bodies()

    def _records(self) -> Iterator[tuple[Entity, list[str], Scrubber]]:
        for entity, ids in self.person.own:
            yield entity, ids, own_scrubber(entity, self.person.values)
        for name, ids in self.person.documents.items():
            yield ENTITIES[name], ids, document_scrubber(ENTITIES[name], self.person.values)

    def _mirror(self, entity: Entity, ids: list[str], scrubber: Scrubber) -> None:
        found: dict[str, list[str]] = {}
        for row in mirror_rows.mirror_rows(self.session, entity, ids, scrubber, locks=self.writes):
            found.setdefault(row.table, []).append(row.source_id)
            if self.writes:
                mirror_rows.write(self.session, row)
        for table, source_ids in found.items():
            self._found(table, entity.name, source_ids)

    def _rows(self, place: places.Place, entity: str, rows: Iterator[places.ScrubbedRow]) -> None:
        ids = []
        for row in rows:
            ids.append(str(row.id))
            if self.writes and place.is_sealed:
                self.sealed += [
                    ErasedContent(table=place.table, column=name, id=row.id, content=content)
                    for name, content in row.contents.items()
                ]
            elif self.writes:
                places.write(self.session, place, row)
        self._found(place.table, entity, ids)

    def _bodies(self) -> None:
        records = {**{entity.name: ids for entity, ids in self.person.own}, **self.person.documents}
        for body in bodies.BODIES:
            count, ids = bodies.find_bodies(self.session, body, records, self.person.values)
            if count:
                shown = list(map(str, ids))
                self.report.places.append(FoundPlace(table=body.table, entity="", row_count=count, ids=shown))
            if count and self.writes:
                bodies.drop_bodies(self.session, body, records, self.person.values)

    def _found(self, table: str, entity: str, ids: list[str]) -> None:
        if ids:
            self.report.places.append(FoundPlace(table=table, entity=entity, row_count=len(ids), ids=ids[:20]))


def _pass(session: Session, key: PersonKey, *, writes: bool) -> _Pass:
    set_statement_timeout(session, STATEMENT_SECONDS)
    person = read_person(session, key)
    count = sum(map(len, person.documents.values()))
    report = ErasureReport(
        entity=key.entity, source_id=key.source_id, value_count=len(person.values), document_count=count
    )
    done = _Pass(session, person, report, writes)
    done.run()
    return done


def preview(session: Session, key: PersonKey, *, logs: Path) -> ErasureReport:
    """What would be erased, by table, entity and id; nothing is written. Raises NotFoundError, InvalidPersonError."""
    looked = _pass(session, key, writes=False)
    looked.report.log_files = matches_in(logs, looked.person.values, overwrite=False)
    looked.report.note_number = _last_note(session, key)
    return looked.report


def erase(
    scope: Scope,
    key: PersonKey,
    *,
    seal_key: Callable[[Session], SealKey],
    reason: str,
    by: str,
    logs: Path,
    source: Callable[[str], Source] | None,
) -> ErasureReport:
    """Erase a person and seal a note of it; `source` is asked first, outside any transaction. Safe to repeat.

    Without `source` Zoho may still have them, and its next change of the record brings it back. `logs`: the folder of
    this machine's log files, which follow once the transaction is committed. Raises NotFoundError, InvalidPersonError,
    PersonExistsError, and what reading the record raises.
    """
    with scope() as session:
        _check_reason(reason, read_person(session, key))
    if source is not None:
        _check_gone(source, key)
    with scope() as session:
        chain.lock_head(session)  # one erasure at a time, and no row is sealed meanwhile
        done = _pass(session, key, writes=True)
        known = _last_note(session, key)
        if done.report.places or known is None:
            note = _note(done.report, reason=reason, by=by, zoho_was_asked=source is not None)
            seals = erasure_notes.erase(session, seal_key(session), done.sealed, note=note)
            known = seals[-1].number
        done.report.note_number = known
    done.report.log_files = matches_in(logs, done.person.values, overwrite=True)
    log.warning("person_erased", entity=key.entity, source_id=key.source_id, operator=by,
                row_count=done.report.row_count, note_number=known)  # fmt: skip
    return done.report


def _check_gone(source: Callable[[str], Source], key: PersonKey) -> None:
    stream = ENTITIES[key.entity].stream
    found = source(stream.source).read(stream, [key.source_id], traffic=Traffic.OPERATOR)
    if key.source_id in found.failures:
        raise found.failures[key.source_id]
    if key.source_id in found.missing and key.source_id not in found.refused:
        return
    raise PersonExistsError(
        f"Zoho has {key.entity} {key.source_id}, or does not show it to this connection: the next change there would"
        " bring back what is erased here. Erase or anonymise it in Zoho first. If it stays there and shall go here,"
        " say so: --although-zoho-has-it."
    )


def _check_reason(reason: str, person: Person) -> None:
    pattern = pattern_of(person.values)
    if pattern and pattern.search(reason):
        raise InvalidPersonError(
            "The reason stays for as long as the history, so it may not name the person. Name a file or a date instead."
        )


def _last_note(session: Session, key: PersonKey) -> int | None:
    named = msgspec.json.encode({"entity": key.entity, "source_id": key.source_id}).decode()
    number: int | None = session.execute(_NOTED, {"begins": f"{named[:-1]},"}).scalar()
    return number


def _note(report: ErasureReport, *, reason: str, by: str, zoho_was_asked: bool) -> str:
    counts: dict[str, int] = {}
    for each in report.places:
        counts[each.table] = counts.get(each.table, 0) + each.row_count
    said = {"entity": report.entity, "source_id": report.source_id, "by": by, "reason": reason,
            "gone_in_zoho": zoho_was_asked, "row_counts": counts}  # fmt: skip
    return msgspec.json.encode(said).decode()
