"""`tds workers`: started in the background, seen, heard of by the database, and ended with everything they started."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography.fernet import Fernet


class Commands:
    """The commands of one home."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "tds_api.cli", "workers", *arguments]
        return subprocess.run(argv, env=self._environment, capture_output=True, text=True, check=False, timeout=150)

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def commands(database: str, redis_url: str, tmp_path: Path) -> Iterator[Commands]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
    commands = Commands(
        {
            **clean,
            "TDS_DATABASE_URL": database,
            "TDS_REDIS_URL": redis_url,
            "TDS_HOME": str(tmp_path),
            "TDS_SECRET_KEY": Fernet.generate_key().decode(),
            "TDS_WORKER_CONCURRENCY": "1",
        }
    )
    yield commands
    commands.run("stop")


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def test_workers_come_and_go_by_command(commands: Commands) -> None:
    assert commands.run("status").returncode == 5
    assert commands.json("stop") == {"ended": 0}
    said = commands.run("stop").stdout
    assert all(each in said for each in ("tds workers start", "tds demo", "Ctrl-C", "tds workers status"))
    started = commands.json("start", "--count", "1")
    found = commands.json("status")
    assert found["kept_here"] == {"pid": started["pid"], "count": 1}
    [worker] = found["workers"]
    assert (worker["name"].partition("@")[0], worker["state"]) == ("more1", "listening")
    again = commands.run("start")
    assert again.returncode != 0
    assert "already running" in again.stderr
    processes = family(started["pid"])
    assert commands.json("stop") == {"ended": 1}
    assert [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
    assert commands.json("stop") == {"ended": 0}
