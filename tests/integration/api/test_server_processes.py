"""The API's processes load the code anew on SIGHUP: all of it, what the settings are read with included."""

import json
import os
import shutil
import signal
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.house.code import ROOT
from tests.support.api_process import served

PACKAGES = ("tds_models", "tds_core", "tds_tasks", "tds_api", "tds_local", "tds_lab")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TDS installed where the test may change it, and a server started from there runs it."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / "installed" / package, ignore=shutil.ignore_patterns("*.pyc"))
    monkeypatch.chdir(tmp_path / "installed")
    return tmp_path / "installed"


def alive(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60) as answer:
        return str(json.load(answer)["status"])


def install_a_version_with_a_new_setting(where: Path) -> None:
    """What `/healthz` says comes from the module of the settings, where the version before has nothing of that name."""
    settings, probes = where / "tds_core/config/settings.py", where / "tds_api/probes_and_metrics.py"
    settings.write_text(settings.read_text() + '\nALIVE = "of the new version"\n')
    before = probes.read_text()
    changed = before.replace('status="alive"', "status=ALIVE")
    assert changed != before
    probes.write_text(
        changed.replace("\nfrom tds_core", "\nfrom tds_core.config.settings import ALIVE\nfrom tds_core", 1)
    )


def keeper_of(port: int) -> psutil.Process:
    words = ["tds_api.server_processes", "127.0.0.1", str(port)]
    [keeper] = [
        each for each in psutil.Process().children(recursive=True) if each.ppid() == os.getpid()
        and each.cmdline()[2:5] == words
    ]  # fmt: skip
    return keeper


@pytest.mark.long
def test_code_that_does_not_load_leaves_the_version_before_at_work(
    installed: Path, database: str, tmp_path: Path
) -> None:
    with served(database, tmp_path) as port:
        (installed / "tds_api/rsgi.py").write_text("raise ImportError('half an upgrade')\n")
        [before] = keeper_of(port).children()
        keeper_of(port).send_signal(signal.SIGHUP)
        deadline, said = time.monotonic() + 60, tmp_path / "api.log"
        while "the worker before goes on" not in said.read_text():
            assert time.monotonic() < deadline, said.read_text()
            assert alive(port) == "alive"
            time.sleep(0.2)
        time.sleep(1)
        assert alive(port) == "alive" and keeper_of(port).children() == [before]


@pytest.mark.long
def test_a_reloaded_worker_runs_the_installed_version_and_no_request_fails(
    installed: Path, database: str, tmp_path: Path
) -> None:
    with served(database, tmp_path) as port:
        assert alive(port) == "alive"
        install_a_version_with_a_new_setting(installed)
        keeper_of(port).send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 150
        answers: list[str] = []
        while answers[-5:] != ["of the new version"] * 5:
            assert time.monotonic() < deadline, (tmp_path / "api.log").read_text()
            answers.append(alive(port))
            time.sleep(0.05)
        assert set(answers) == {"alive", "of the new version"}
