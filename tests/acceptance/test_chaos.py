"""`tds chaos`: whatever dies, freezes or forgets, no promise is broken; and where a protection is missing, one is."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tds_lab.chaos.nemesis_registry import NEMESES
from tds_lab.testbed import clean, free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.long]


def chaos(*options: str, seconds: float = 580) -> dict[str, Any]:
    """A chaos run in a home of its own; its report, with the exit code under `exit_code`."""
    home = Path(tempfile.mkdtemp(prefix="tds-chaos-"))
    home.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
    own = {"TDS_HOME": str(home), "TDS_PORT": str(free_port()), "TDS_FLOWER_PORT": str(free_port())}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tds_api.cli", "chaos", "--json", *options],
            env={**environment, **own}, capture_output=True, text=True, check=False, timeout=seconds,
        )  # fmt: skip
        assert done.stdout.startswith("{"), done.stderr
        return {**json.loads(done.stdout), "exit_code": done.returncode, "told": done.stderr}
    finally:
        clean(home / "chaos")
        shutil.rmtree(home)


def test_nothing_is_lost_doubled_or_put_back_whatever_happens() -> None:
    report = chaos("--minutes", "1.2", "--seed", "11", "--rate", "15", "--pace", "1.2")
    kept = {name: report[name] for name in ("lost", "doubled", "backwards", "differences")}
    assert kept == {"lost": 0, "doubled": 0, "backwards": 0, "differences": 0}, report
    assert report["exit_code"] == 0
    assert report["recovery_seconds"]["left"] == 0
    assert report["kills"] >= 3
    assert report["events"] > 300
    assert len(report["acts"]) > len(NEMESES) / 3
    assert report["records_compared"] > 200


def test_without_its_guard_the_mirror_goes_backwards_and_is_caught() -> None:
    report = chaos("--minutes", "2", "--seed", "5", "--rate", "20", "--only", "webhooks-stirred", "--without", "guard")
    assert report["exit_code"] == 1
    assert report["backwards"] > 0
    assert "time_only_moves_on" in report["caught"]["by"]
