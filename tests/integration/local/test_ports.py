"""Ports that are taken: the doctor knows its own stack's, and the demo leaves no port without a word."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tds_api.cli.doctor_checks import machine
from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError
from tds_lab.testbed import free_port, settings_of_demo
from tds_lab.zoho_stand_in import StandInSpec

VARIABLES = ("TDS_PORT", "TDS_FLOWER_PORT")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("TDS_", "ZOHO_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TDS_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("runs", [True, False])
def test_the_doctor_knows_the_port_of_the_stack_that_runs_even_where_it_was_set(
    home: Path, monkeypatch: pytest.MonkeyPatch, taken: int, variable: str, runs: bool
) -> None:
    for each in VARIABLES:
        monkeypatch.setenv(each, str(taken if each == variable else free_port()))
    if runs:
        (home / "running.json").write_text(json.dumps({"pid": os.getpid(), variable: taken}))
    found = list(machine.ports(load_settings()))
    [about] = [each for each in found if str(taken) in each.says]
    assert about.is_ok is runs, about
    assert ("running stack" in about.says) is runs


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_demo_refuses_a_taken_port_that_was_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, taken: int, variable: str
) -> None:
    monkeypatch.setenv(variable, str(taken))
    with pytest.raises(ConfigError, match=rf"Port {taken} .* Set {variable} to a free one"):
        settings_of_demo(StandInSpec(port=1, counts={}, seed=1), workers=None)


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_demo_says_that_it_takes_another_port_than_the_usual(
    home: Path, taken: int, variable: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # A stack that runs in this home has the usual ports; nobody named them.
    (home / "running.json").write_text(json.dumps({"pid": os.getpid(), variable: taken}))
    settings = settings_of_demo(StandInSpec(port=1, counts={}, seed=1), workers=None)
    used = settings.port if variable == "TDS_PORT" else settings.flower_port
    assert used != taken
    said = capsys.readouterr()
    assert f"Port {taken} on 127.0.0.1 is taken: the demo uses {used}" in said.err
    assert said.out == ""
