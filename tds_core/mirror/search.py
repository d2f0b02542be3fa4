"""Search: records of all entities whose number, SKU, name or id begins with a text, by the indexes of the filters."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_core.database_errors import is_out_of_time
from tds_core.errors import TdsError
from tds_core.mirror.row_filters import beginning_pattern
from tds_models.db import set_statement_timeout
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.entities.table_factory import INDEXED_CHARACTERS

MOST_HITS = 20
TIMEOUT_SECONDS = 2
#: The name of the id among the fields that are searched.
ID = "source_id"


class SearchTooSlowError(TdsError):
    """The search took longer than TIMEOUT_SECONDS."""

    code = "search_too_slow"
    retriable = True


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that was found. `label`: what a person knows it by; `matched`: the field that begins with the text."""

    entity: str
    source_id: str
    label: str | None
    matched: str
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """At most MOST_HITS hits, exact ones first. `has_more`: others begin with the text as well."""

    items: list[Hit]
    has_more: bool


def search(session: Session, beginning: str, *, entity: Entity | None = None) -> SearchResult:
    """Records, of one entity or all, whose number, SKU, name or id begins with `beginning`, in any case.

    Raises SearchTooSlowError. The rest of the transaction keeps the timeout of the search.
    """
    sought = beginning.strip()
    if not sought:
        return SearchResult([], has_more=False)
    statement, params = _statement(entity.name if entity else "", _id_condition(sought)), _params(sought)
    set_statement_timeout(session, TIMEOUT_SECONDS)
    try:
        rows = session.execute(statement, params).all()
    except SQLAlchemyError as error:
        if is_out_of_time(error):
            raise SearchTooSlowError(
                f"The search took longer than {TIMEOUT_SECONDS} s. Write more of the number or name, or name an entity."
            ) from None
        raise
    return _result(rows)


def _result(rows: Any) -> SearchResult:
    """One hit for each record, by the field that ranks first."""
    hits: dict[tuple[str, str], Hit] = {}
    for row in rows:
        hits.setdefault(
            (row.entity, row.source_id), Hit(row.entity, row.source_id, row.label, row.matched, row.deleted_at)
        )
    return SearchResult(list(hits.values())[:MOST_HITS], has_more=len(hits) > MOST_HITS)


# Each part reads the first hits in the order of its index.
_PART = """
(select '{entity}' as entity, m.source_id, {label} as label, '{field}' as matched, m.deleted_at,
        case when {compared} = lower(:sought) then 0 else 1 end as rank, {place} as place
 from {table} m where m.source = '{source}' and {condition} order by {order} limit {most})"""
_FOLDED = f"lower(left(m.{{field}}, {INDEXED_CHARACTERS}))"


@cache
def _statement(entity: str, id_condition: str) -> TextClause:
    """The query over one entity, or over all without a name. It is long, so it is put together once."""
    entities = [ENTITIES[entity]] if entity else list(ENTITIES.values())
    parts = "union all".join(part for each in entities for part in _parts(each, id_condition))
    # Of several that are exactly it, a product comes before its stock.
    order = "rank, deleted_at is not null, case when rank = 0 then place end, label, place, source_id"
    return text(f"select * from ({parts}) found order by {order}")


def _parts(entity: Entity, id_condition: str) -> Iterator[str]:
    """A query for each field that is searched, and one for the id."""
    names = ", ".join(f"m.{field.name}" for field in entity.searched)
    common = {
        "entity": entity.name,
        "place": list(ENTITIES).index(entity.name),
        "table": entity.table.fullname,
        "source": entity.stream.source,
        "label": f"nullif(concat_ws(' · ', {names}), '')" if names else "cast(null as text)",
        "most": MOST_HITS + 1,
    }
    for field in entity.searched:
        folded = _FOLDED.format(field=field.name)
        condition = f"{folded} like lower(:pattern)"
        yield _PART.format(
            **common, field=field.name, compared=folded, condition=condition, order=f"{folded} using ~<~"
        )
    yield _PART.format(**common, field=ID, compared="m.source_id", condition=id_condition, order="m.source_id")


def _id_condition(sought: str) -> str:
    """Ids are digits, whose order is the same in every collation, so the key's index has those between two of them."""
    if not (sought.isascii() and sought.isdigit()):
        return "m.source_id = :sought"
    bounded = " and m.source_id < :id_end" if sought.rstrip("9") else ""
    return f"m.source_id >= :sought and starts_with(m.source_id, :sought){bounded}"


def _params(sought: str) -> dict[str, str]:
    params = {"sought": sought, "pattern": beginning_pattern(sought)}
    if sought.isascii() and sought.isdigit() and (rest := sought.rstrip("9")):
        params["id_end"] = f"{rest[:-1]}{int(rest[-1]) + 1}"
    return params
