"""Rows of a foreign organisation: living rows that are not of the mirrored one, and hints at such rows.

Few of Zoho's records name their organisation. Rows that name another one are counted. Three kinds of rows may belong to
another without naming it: rows that no list of the mirrored organisation shows, for which a full pass is held; rows
that only webhooks reported; and, until a full pass has ended, rows older than the mirroring of this organisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sync.unconfirmed_records import KIND
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

#: The condition of a query that record `m` names another organisation than the mirrored one, `o`.
IS_FOREIGN = """m.source_record ? 'organization_id'
    and jsonb_typeof(m.source_record -> 'organization_id') in ('string', 'number')
    and btrim(m.source_record ->> 'organization_id') not in ('', o.organization_id)"""


def foreign(entity: Entity) -> str:
    """A query for the living rows of `entity` that name another organisation: entity, source_id, theirs, mirrored."""
    return f"""
        select '{entity.name}' as entity, m.source_id, btrim(m.source_record ->> 'organization_id') as theirs,
            o.organization_id as mirrored
        from {entity.table.fullname} m join tds_mirrored_organizations o on o.source = m.source
        where m.deleted_at is null and {IS_FOREIGN}"""


@dataclass(frozen=True, slots=True)
class ForeignRows:
    """How many living rows of an entity name an organisation other than the mirrored one."""

    entity: str
    organization_id: str
    row_count: int


@dataclass(frozen=True, slots=True)
class Hint:
    """The rows of an entity that may belong to another organisation.

    `run_id`: the run held for `absent_count` rows that no list shows, of `living_count`; None without one.
    `stranger_count`: records that only webhooks reported. `unlisted_count`: rows older than the mirroring of the
    organisation, as long as no full pass has completed since.
    """

    entity: str
    run_id: int | None
    absent_count: int
    living_count: int
    stranger_count: int
    unlisted_count: int


_COUNTED = text(
    "select entity, theirs, count(*) as row_count from ("
    + " union all ".join(foreign(entity) for entity in ENTITIES.values())
    + ") as found group by entity, theirs order by entity, row_count desc"
)


def foreign_rows(session: Session) -> list[ForeignRows]:
    """The living rows of all entities that name another organisation. Reads every living record once."""
    return [ForeignRows(row.entity, row.theirs[:40], row.row_count) for row in session.execute(_COUNTED)]


def _unlisted(entity: Entity) -> str:
    """A query that counts rows older than the mirroring of the organisation; 0 once a full pass has ended."""
    source = f"'{entity.stream.source}'"
    since = f"(select since from tds_mirrored_organizations where source = {source})"
    return f"""
        select '{entity.name}' as entity, count(*) as unlisted_count from {entity.table.fullname}
        where source = {source} and deleted_at is null and created_at < {since} and not (select exists (
            select from tds_sync_runs where source = {source} and entity = '{entity.name}' and mode = 'full'
              and state = 'completed' and outcomes ? 'absent' and started_at >= {since}))"""


_HINTS = text(f"""
with waiting as (
    select distinct on (r.entity) r.entity, r.id as run_id, h.record_count as absent_count,
        coalesce(cast(h.preview ->> 'living_count' as bigint), 0) as living_count
    from tds_sync_runs r join tds_run_holds h on h.run_id = r.id
    where r.state = 'held' and h.kind = 'deletion' and h.decided_at is null order by r.entity, r.id desc
), told as (
    select entity, count(*) as stranger_count from tds_findings
    where kind = :stranger and resolved_at is null group by entity
), unlisted as (
    select entity, unlisted_count from (
        {" union all ".join(_unlisted(entity) for entity in ENTITIES.values())}) as counted where unlisted_count > 0
)
select entity, run_id, coalesce(absent_count, 0), coalesce(living_count, 0), coalesce(stranger_count, 0),
    coalesce(unlisted_count, 0)
from waiting full join told using (entity) full join unlisted using (entity) order by entity
""")


def hints(session: Session) -> list[Hint]:
    """The hints at rows of another organisation, by entity."""
    params = {"stranger": KIND}
    return [Hint(*row) for row in session.execute(_HINTS, params)]


def named_among(session: Session, entity: Entity, source_ids: Sequence[str]) -> dict[str, int]:
    """How many of the living rows `source_ids` name another organisation, by the id of that organisation."""
    statement = text(
        f"select theirs, count(*) from ({foreign(entity)} and m.source = :source and m.source_id = any(:ids)) as found"
        " group by theirs order by theirs"
    )
    params = {"source": entity.stream.source, "ids": list(source_ids)}
    return {row[0][:40]: row[1] for row in session.execute(statement, params)}
