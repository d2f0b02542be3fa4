"""Memory is as full as the fuller of machine and container."""

from pathlib import Path

import pytest

from tds_core.observability import memory_usage


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    machine = memory_usage.psutil.virtual_memory()._replace(percent=10.0)
    monkeypatch.setattr(memory_usage.psutil, "virtual_memory", lambda: machine)
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\n")
    return tmp_path


def test_a_container_counts_by_its_own_limit_and_without_what_is_only_kept(cgroup: Path) -> None:
    assert memory_usage.used_share(cgroup) == 0.6


def test_without_a_limit_the_machine_counts(cgroup: Path) -> None:
    (cgroup / "memory.max").write_text("max\n")
    assert memory_usage.used_share(cgroup) == 0.1


def test_where_there_is_no_container_the_machine_counts(cgroup: Path) -> None:
    assert memory_usage.used_share(cgroup / "none") == 0.1
