"""An old sync beside TDS: its tables filled from the stand-in, its mapping file, and comparisons with it."""

from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tds_api.cli.breakers import quiet_breakers
from tds_core.config.settings import load_settings
from tds_core.cutover.comparison import ComparisonOrder, compare_with_old
from tds_core.cutover.days import DayResult
from tds_core.cutover.mapping import CutoverMapping, parse_mapping
from tds_core.schema.database_roles import APP
from tds_core.sources.base import Source
from tds_core.sources.registry import open_source
from tds_lab.migration_rehearsal.old_tables import MAPPING, PLURALS, create_tables, write_records
from tds_models.db import session_scope
from tds_tasks.old_database import old_engine, scope_of_one_connection
from tests.support.database_role import superuser
from tests.support.standin import StandIn
from tests.support.world import World

DAY = date(2026, 11, 29)


def fill_old_tables(world: World, standin: StandIn) -> None:
    """Make the old tables, equal to the stand-in; whoever TDS is may write them, as the old sync does."""
    with superuser(world.engine) as session:
        connection = session.connection()
        create_tables(connection)
        for entity, plural in PLURALS.items():
            write_records(connection, entity, [standin.detail(plural, each) for each in standin.ids(plural)])
        if world.engine.url.username == APP:
            connection.execute(
                text(
                    f"grant all on schema legacy to {APP}; grant all on all tables in schema legacy to {APP};"
                    f" grant all on all sequences in schema legacy to {APP};"
                    f" alter default privileges in schema legacy grant all on tables to {APP}"
                )
            )


def mapping_of(text: str = MAPPING) -> CutoverMapping:
    return parse_mapping(text)


def write_mapping(folder: Path, text: str = MAPPING) -> Path:
    path = folder / "old.toml"
    path.write_text(text)
    return path


def source_of(world: World) -> Any:
    """Opens the stand-in by its settings, as commands do."""

    def opened(name: str) -> Source:
        settings = load_settings()
        return open_source(name, settings, partial(session_scope, world.engine), quiet_breakers(settings))

    return opened


def compare(
    world: World, *entities: str, deep: int = 100, day: date = DAY, mapping: CutoverMapping | None = None
) -> dict[str, DayResult]:
    """Compare with the old tables. Returns the results by entity."""
    order = ComparisonOrder(day=day, deep=deep, requested_by="test", entities=entities)
    parsed = mapping or mapping_of()
    with old_engine(parsed, world.engine) as old, scope_of_one_connection(world.engine) as scope:
        results = compare_with_old(scope, old, parsed, order, open_source=source_of(world))
        return {each.entity: each for each in results}
