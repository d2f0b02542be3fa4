"""Heartbeat files: they have the time of the last round, one for each process, and cost no process its life."""

import os
from pathlib import Path

import pytest

from tds_core.observability.heartbeat_files import DIRECTORY, touch_heartbeat


def test_each_touch_gives_the_file_the_present_time(tmp_path: Path) -> None:
    touch_heartbeat(tmp_path, "worker")
    path = tmp_path / DIRECTORY / "worker"
    os.utime(path, (1_000, 1_000))
    touch_heartbeat(tmp_path, "worker")
    assert path.stat().st_mtime > 1_000_000


def test_under_a_supervisor_each_process_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("worker-1", "worker-2"):
        monkeypatch.setenv("TDS_PROCESS", name)
        touch_heartbeat(tmp_path, "worker")
    assert {path.name for path in (tmp_path / DIRECTORY).iterdir()} == {"worker-1", "worker-2"}


def test_a_home_that_is_not_there_or_no_directory_stops_nothing(tmp_path: Path) -> None:
    missing, occupied = tmp_path / "missing", tmp_path / "file"
    occupied.touch()
    for home in (missing, occupied):
        touch_heartbeat(home, "worker")
    assert not missing.exists()
