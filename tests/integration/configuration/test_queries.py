"""The table of settings shows values in force by the database, whatever this process knew."""

from sqlalchemy import Engine

from tds_core.config.overrides import overrides
from tds_core.config.settings import load_settings
from tds_core.configuration.queries import setting_rows, setting_story
from tds_models.db import session_scope
from tests.support.configuring import configure


def test_values_are_the_database_s_also_where_this_process_has_not_read_them_yet(engine: Engine) -> None:
    configure(engine, guard_percent=10, missing_sku="warning", slow_seconds=2)
    overrides.replace({})
    settings = load_settings({"TDS_SLOW_SECONDS": "9"})
    with session_scope(engine) as session:
        rows = {row["key"]: row for row in setting_rows(session, settings)}
        story = setting_story(session, settings, "slow_seconds")
    assert (rows["TDS_GUARD_PERCENT"]["value"], rows["TDS_MISSING_SKU"]["value"]) == (10, "warning")
    assert rows["TDS_MISSING_SKU"]["environment_value"] == "error"
    assert rows["TDS_MISSING_SKU"]["choices"] == ["error", "warning"]
    assert (story["value"], story["environment_value"], story["default"], story["source"]) == (2.0, 9.0, 5.0, "changed")
    assert [each["value"] for each in story["versions"]] == [2.0]


def test_addresses_are_shown_without_their_password(engine: Engine) -> None:
    settings = load_settings({"TDS_DATABASE_URL": "postgresql://tds:hunter2hunter2@db/tds"})
    with session_scope(engine) as session:
        rows = {row["key"]: row for row in setting_rows(session, settings)}
    assert "hunter2" not in str(rows)
    assert rows["TDS_DATABASE_URL"]["value"] == "postgresql+psycopg2://tds:***@db/tds"
