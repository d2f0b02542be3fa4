"""A database of every released version comes to the newest schema with everything in it, and TDS goes on with it."""

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tds_core.audit_trail.seal_keys import derive
from tds_core.audit_trail.verify import verify_history
from tds_core.invariants.verify import verify
from tds_core.schema.migrations import newest_revision, upgrade
from tds_models.base import MIRROR_SCHEMA
from tds_models.db import make_engine, session_scope
from tests.house.code import ROOT
from tests.support.release_data import DATABASES, restore

DUMPS = sorted(DATABASES.glob("*.dump"))
_COLUMNS = text("""
select format('%I.%I', c.table_schema, c.table_name), array_agg(quote_ident(c.column_name) order by c.column_name)
from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
where c.table_schema in ('public', :mirror) and t.table_type = 'BASE TABLE' and c.table_name <> 'alembic_version'
group by 1
""")
Rows = Mapping[str, list[str]]


@pytest.fixture(params=DUMPS, ids=lambda path: path.stem)
def kept(request: pytest.FixtureRequest) -> Path:
    """The dump of an earlier version."""
    return Path(request.param)


@pytest.fixture
def old(kept: Path, empty_database: str) -> Iterator[Engine]:
    """An engine on a database as an earlier version left it."""
    restore(kept, empty_database)
    engine = make_engine(empty_database)
    yield engine
    engine.dispose()


def columns(engine: Engine) -> dict[str, list[str]]:
    """The columns of each table."""
    with engine.connect() as connection:
        return {name: list(found) for name, found in connection.execute(_COLUMNS, {"mirror": MIRROR_SCHEMA})}


def rows(engine: Engine, tables: Mapping[str, list[str]]) -> Rows:
    """Every row of these columns, in one order. Empty text of the mirror is spelled as NULL, which 0019 makes of it."""

    def spelled(table: str, row: Mapping[str, object]) -> str:
        is_mirror = table.startswith(f"{MIRROR_SCHEMA}.")
        return json.dumps({name: None if is_mirror and value == "" else value for name, value in row.items()})

    with engine.connect() as connection:
        return {
            table: sorted(
                spelled(table, row)
                for row in connection.scalars(
                    text(f"select row_to_json(each) from (select {', '.join(names)} from {table}) as each")
                )
            )
            for table, names in tables.items()
        }


def test_every_row_comes_along(old: Engine) -> None:
    tables = columns(old)
    before = rows(old, tables)
    assert sum(map(len, before.values())) > 1000
    upgrade(old.url.render_as_string(hide_password=False))
    old.dispose()
    after = rows(old, tables)
    assert {table: found for table, found in after.items() if found != before[table]} == {}


def test_the_upgraded_database_keeps_every_promise(old: Engine, kept: Path) -> None:
    assert upgrade(old.url.render_as_string(hide_password=False)) == newest_revision()
    old.dispose()
    with session_scope(old) as session:
        assert [each for each in verify(session) if each.violation_count] == []
    with session_scope(old) as session:
        key = derive(kept.with_suffix(".key").read_text().strip())
        report = verify_history(session, {key.id: key.secret})
    assert report.breaks == []
    assert report.row_count > 500


def released_versions(changelog: str, tags: Iterable[str]) -> set[str]:
    """The versions that were released: with a heading of their own in the list of changes, or a tag `v...`."""
    return {
        *re.findall(r"^## \[?v?(\d+\.\d+\.\d+)\b", changelog, re.MULTILINE),
        *(tag.removeprefix("v") for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)),
    }


def tags() -> list[str]:
    """The tags of this clone; none where there is no clone, but a source distribution."""
    done = subprocess.run(["git", "tag", "--list", "v*"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.split()


def test_every_released_version_has_its_database() -> None:
    stems = {path.stem for path in DUMPS}
    missing = released_versions((ROOT / "CHANGELOG.md").read_text(), tags()) - stems
    assert missing == set(), "make release-data in a checkout of each keeps it"
    assert stems


def test_released_versions_are_found_in_changes_and_tags() -> None:
    text_of_changes = "# Changes\n\n## Unreleased\n\n## 0.2.0 - 2027-01-01\n\n## [0.1.1]\n### Added\n"
    assert released_versions(text_of_changes, ["v0.3.0", "v0.3.0-rc1", "nightly"]) == {"0.1.1", "0.2.0", "0.3.0"}
