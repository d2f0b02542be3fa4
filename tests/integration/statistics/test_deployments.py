"""Deployments: a version that begins to run is recorded once, until another does."""

from sqlalchemy import Engine, text

from tds_core.statistics.deployments import list_deployments, record_deployment
from tds_models.db import session_scope


def test_a_version_is_recorded_when_it_or_the_schema_is_another(engine: Engine) -> None:
    def recorded(version: str) -> bool:
        with session_scope(engine) as session:
            return record_deployment(session, version)

    assert recorded("1.0") and not recorded("1.0") and recorded("1.1") and recorded("1.0")
    with session_scope(engine) as session:
        revision = session.execute(text("select version_num from alembic_version")).scalar_one()
        session.execute(text("update tds_deployments set schema_revision = '0001'"))
    assert recorded("1.0")
    with session_scope(engine) as session:
        newest = list_deployments(session, limit=2)
        older = list_deployments(session, cursor=newest.next_cursor)
    assert [(each["version"], each["schema_revision"]) for each in newest.items] == [("1.0", revision), ("1.0", "0001")]
    assert [each["version"] for each in older.items] == ["1.1", "1.0"]
