"""The catalogue: which backup a moment is restored from, and what it is built of."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tds_core.backups import catalog
from tds_core.backups.catalog import FULL, INCREMENTAL, BackupDamagedError, BackupEntry, NoBackupError

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)


def entry(name: str, day: int, *, parent: str = "", wal: str = "7-1", segment: int = 1) -> BackupEntry:
    """A backup that ended so many days after T0."""
    ended_at = T0 + timedelta(days=day)
    return BackupEntry(
        name=name, kind=INCREMENTAL if parent else FULL, parent=parent, started_at=ended_at, ended_at=ended_at, wal=wal,
        first_segment=f"0000000100000000{segment:08X}", byte_count=1, postgres_major=18, database="tds", role="tds",
        key_id="", holds_secrets=False,
    )  # fmt: skip


WEEK = [entry("a", 0), entry("b", 1, parent="a"), entry("c", 2, parent="b"), entry("d", 7)]


@dataclass
class Case:
    day: float
    name: str


@pytest.mark.parametrize("case", [Case(0, "a"), Case(1.5, "b"), Case(6.9, "c"), Case(30, "d")], ids=lambda c: c.name)
def test_a_moment_is_restored_from_the_newest_backup_before_it(case: Case) -> None:
    assert catalog.chosen(WEEK, to=T0 + timedelta(days=case.day)).name == case.name


def test_without_a_moment_the_newest_backup_is_chosen_and_a_named_one_if_it_is_early_enough() -> None:
    assert catalog.chosen(WEEK).name == "d"
    assert catalog.chosen(WEEK, name="b", to=T0 + timedelta(days=3)).name == "b"
    with pytest.raises(NoBackupError, match="before backup d ended"):
        catalog.chosen(WEEK, name="d", to=T0)
    with pytest.raises(NoBackupError, match="tds backup list"):
        catalog.chosen(WEEK, name="x")


def test_before_the_first_backup_there_is_nothing_to_restore() -> None:
    with pytest.raises(NoBackupError, match="2026-11-01 12:00:00"):
        catalog.chosen(WEEK, to=T0 - timedelta(seconds=1))
    with pytest.raises(NoBackupError, match="tds backup"):
        catalog.chosen([])


def test_a_chain_begins_with_its_full_backup_and_lacks_none() -> None:
    assert [each.name for each in catalog.chain_of(WEEK, WEEK[2])] == ["a", "b", "c"]
    with pytest.raises(BackupDamagedError, match="builds on b, which is gone"):
        catalog.chain_of([WEEK[0], WEEK[2]], WEEK[2])


def test_entries_are_read_back_and_what_is_half_written_is_none(tmp_path: Path) -> None:
    for name in ("a", f"b{catalog.PARTIAL}"):
        folder = catalog.base_directory(tmp_path) / name
        folder.mkdir(parents=True)
        catalog.write_entry(folder, entry("a", 0))
    assert catalog.entries(tmp_path) == [entry("a", 0)]
    (catalog.base_directory(tmp_path) / "a" / catalog.ENTRY_FILE).write_text("{")
    with pytest.raises(BackupDamagedError, match="cannot be read"):
        catalog.entries(tmp_path)
