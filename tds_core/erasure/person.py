"""The person to erase: their records by entity and id, and the values they are recognised by."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.erasure.scrub import LEAST_CHARACTERS, MARK, is_erased_with_person
from tds_core.errors import NotFoundError, TdsError
from tds_core.records.source_record import decode
from tds_models.db import set_statement_timeout
from tds_models.entities import ENTITIES
from tds_models.entities.contact_common import RECOGNISED_BY
from tds_models.entities.declaration import Entity

#: The entities whose records are about one person or company.
PERSONS: Final = tuple(name for name, each in ENTITIES.items() if any(field.personal for field in each.fields))
#: A search by address reads whole records where no row has it as its own.
SEARCH_SECONDS: Final = 60
_OWN_ADDRESS = "lower(email) = lower(:email)"
_OF_CONTACT_PERSON = "position(lower(:quoted) in lower(source_record ->> 'contact_persons')) > 0"
_LONG_NUMBERS = re.compile(r"\d{7,}")
_KNOWN = """
select exists (select from {table} where source_id = :id)
    or exists (select from tds_audit_trail where entity = any(:entities) and source_id = :id)
    or exists (select from tds_inbox_events where entity = any(:entities) and source_id = :id)
"""
_CONTENTS = text("""
select changes::text from tds_audit_trail where entity = any(:entities) and source_id = :id
union all select record::text from tds_inbox_events
    where entity = any(:entities) and source_id = :id and record is not null
union all select record::text from tds_dead_letter_queue
    where entity = any(:entities) and source_id = :id and record is not null
""")


class InvalidPersonError(TdsError):
    """The request names no entity of persons, or an e-mail address that more than one record has."""

    code = "invalid_person"


@dataclass(frozen=True, slots=True)
class PersonKey:
    """The record a person is: a customer, a vendor or a user."""

    entity: str
    source_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person: `entities` share their id (a contact that became a vendor); `documents`: ids that refer to them.

    `values`: what they are recognised by. It leaves this process in no answer and no log line.
    """

    key: PersonKey
    entities: tuple[str, ...]
    documents: Mapping[str, list[str]]
    values: frozenset[str]

    @property
    def own(self) -> Iterator[tuple[Entity, list[str]]]:
        """Their own record, by entity."""
        return ((ENTITIES[name], [self.key.source_id]) for name in self.entities)


def find_by_email(session: Session, email: str, entity: str | None = None) -> PersonKey:
    """The living or deleted record that has this e-mail address, its own or a contact person's.

    Reads every row of customers, vendors and users. Raises NotFoundError and InvalidPersonError.
    """
    set_statement_timeout(session, SEARCH_SECONDS)
    names = PERSONS if entity is None else (_person_entity(entity).name,)
    found: list[PersonKey] = []
    for condition in (_OWN_ADDRESS, _OF_CONTACT_PERSON):
        for name in names if not found else ():
            query = text(f"select source_id from {ENTITIES[name].table.fullname} where {condition} order by 1 limit 5")
            rows = session.execute(query, {"email": email, "quoted": f'"{email}"'}).scalars()
            found += [PersonKey(name, source_id) for source_id in rows]
    if not found:
        raise NotFoundError("No customer, vendor or user has this e-mail address. Name the record itself.")
    if len(found) > 1:
        several = ", ".join(f"{each.entity} {each.source_id}" for each in found)
        raise InvalidPersonError(f"More than one record has this e-mail address: {several}. Name one of them.")
    return found[0]


def _person_entity(name: str) -> Entity:
    if name not in PERSONS:
        raise InvalidPersonError(f"A person is one of {', '.join(PERSONS)}, not {name[:40]}.")
    return ENTITIES[name]


def read_person(session: Session, key: PersonKey) -> Person:
    """The person with everything that is known of them. Raises NotFoundError and InvalidPersonError."""
    entity = _person_entity(key.entity)
    entities = tuple(name for name in PERSONS if ENTITIES[name].stream.path == entity.stream.path)
    params: dict[str, Any] = {"id": key.source_id, "entities": list(entities)}
    if not any(
        session.execute(text(_KNOWN.format(table=ENTITIES[name].table.fullname)), params).scalar() for name in entities
    ):
        raise NotFoundError(f"TDS knows no {key.entity} {key.source_id[:80]}, and none of its history.")
    values: set[str] = set()
    for name in entities:
        for row in _rows(session, ENTITIES[name], key.source_id):
            _collect(row, "", values)
    for content in session.execute(_CONTENTS, params).scalars():
        _collect(decode(content), "", values)
    documents = {name: ids for name in ENTITIES if (ids := _document_ids(session, ENTITIES[name], entities, key))}
    return Person(key=key, entities=entities, documents=documents, values=frozenset(values))


def _rows(session: Session, entity: Entity, source_id: str) -> Iterator[dict[str, Any]]:
    names = [each.name for each in entity.fields if is_erased_with_person(each)]
    columns = ", ".join(f"cast({name} as text) as {name}" for name in names)
    statement = text(
        f"select {columns}, cast(source_record as text) as record from {entity.table.fullname} where source_id = :id"
    )
    for row in session.execute(statement, {"id": source_id}).mappings():
        yield {**row, "record": decode(row["record"])}


def _document_ids(session: Session, entity: Entity, entities: tuple[str, ...], key: PersonKey) -> list[str]:
    columns = [each.name for each in entity.fields if each.refers_to in entities]
    if not columns:
        return []
    condition = " or ".join(f"{name} = :id" for name in columns)
    statement = text(f"select source_id from {entity.table.fullname} where {condition} order by source_id")
    return list(session.execute(statement, {"id": key.source_id}).scalars())


def _collect(value: Any, key: str, into: set[str]) -> None:
    """Collect the texts that stand under a key by which a person is recognised, at any depth."""
    if isinstance(value, dict):
        for name, each in value.items():
            _collect(each, name, into)
    elif isinstance(value, list):
        for each in value:
            _collect(each, key, into)
    elif key in RECOGNISED_BY and value is not None and not isinstance(value, bool):
        found = str(value).strip()
        if len(found) >= LEAST_CHARACTERS and MARK not in found:
            # A telephone number is written with and without its prefix.
            into.update({found, *_LONG_NUMBERS.findall(found)})
