"""Deployments: since when which version of TDS runs here, as marks on every time axis."""

from datetime import datetime
from typing import TypedDict

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tds_core.pagination import Page, read_page
from tds_models.statistics import Deployment

# Processes of a rolling restart change one after the other; what counts is the version that began to run last.
_RECORD = text("""
with current as (select :version as version, (select version_num from alembic_version) as schema_revision)
insert into tds_deployments (version, schema_revision)
select version, schema_revision from current c
where not exists (
    select from (select version, schema_revision from tds_deployments order by id desc limit 1) as newest
    where newest.version = c.version and newest.schema_revision = c.schema_revision)
returning id
""")


class DeploymentRow(TypedDict):
    """A version that began to run, and the revision of the schema it found."""

    id: int
    began_at: datetime
    version: str
    schema_revision: str


def record_deployment(session: Session, version: str) -> bool:
    """Record that `version` begins to run. Returns whether it, or the schema, is another than before."""
    return session.execute(_RECORD, {"version": version}).scalar() is not None


def list_deployments(session: Session, *, cursor: str | None = None, limit: int = 50) -> Page[DeploymentRow]:
    """Deployments, the newest first. Raises InvalidCursorError."""
    columns = Deployment.__table__.c
    return read_page(session, select(*columns), keys=[columns.id], cursor=cursor, limit=limit)
