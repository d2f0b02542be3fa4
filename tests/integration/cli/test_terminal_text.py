"""What commands print of mirrored data: a terminal obeys none of it, and nothing that identifies is cut."""

import json
from dataclasses import replace

import pytest

from tds_api.cli.common.output import say_table, terminal
from tds_core.sync.change_limits import ChangeLimits
from tds_models.entities import ENTITIES
from tds_tasks import runs as run_tasks
from tests.integration.cli.test_sync import refuse, worker
from tests.support.command_line import CommandLine
from tests.support.hostile_text import NAME, OBEYED
from tests.support.standin import StandIn
from tests.support.world import World


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys, columns=80)


@pytest.fixture
def commands(
    tds: CommandLine, synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, ...]]:
    """Commands that have something to say of records with a hostile name: a held run, a dry run, letters, findings."""
    refuse(monkeypatch, {standin.ids("items")[-1]})
    first, *_ = ids = standin.ids("items")[:8]
    standin.edit("items", first, name=NAME, description=NAME)
    synced.run("product", "full")
    monkeypatch.setattr(run_tasks, "_limits", lambda: ChangeLimits(percent=1, records=1))
    for each in ids:
        standin.edit("items", each, name=f"{NAME} {each}", **{NAME: NAME})
    held = synced.run("product", "full")
    assert held["state"] == "held"
    letter = synced.value("select min(id) from tds_dead_letter_queue")
    assert letter
    broken = (
        "update tds_dead_letter_queue set error = :name, fingerprint = :name, record = jsonb_build_object('a', :name)"
    )
    synced.execute(broken, name=NAME)
    synced.execute("update tds_sync_runs set end_reason = :name where state = 'completed'", name=NAME)
    synced.execute(
        "insert into tds_sync_runs (source, entity, mode, state, requested_by, correlation_id, end_reason)"
        " values ('zoho', 'vendor', 'full', 'failed', :name, 'c', :name)",
        name=NAME,
    )
    synced.execute(
        "insert into tds_findings (kind, severity, source, entity, subject, detail, first_seen_at, last_seen_at)"
        " values ('schema_drift', 'note', 'zoho', 'product', :name, jsonb_build_object('says', :name), now(), now())",
        name=NAME,
    )
    return [
        ("runs",), ("runs", "list"), ("runs", "show", str(held["id"])), ("explain", "product", first),
        ("explain", "product", first, "--field", "name", "--live"), ("explain", "product", first, "--as-of", "now"),
        ("sync", "product", "--mode", "dry-run", "--full"), ("dead-letter",), ("dead-letter", "list"),
        ("dead-letter", "list", "--group-by", "fingerprint"), ("dead-letter", "show", str(letter)),
        ("dead-letter", "retry", "--preview"), ("findings",), ("stats",), ("queue",), ("verify",),
        ("heal",), ("audit", "actions"), ("sync", "vendor", "--mode", "targeted", "--id", NAME),
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["table", "json"])
def test_no_command_lets_a_terminal_obey_a_name(
    tds: CommandLine, synced: World, commands: list[tuple[str, ...]], form: str
) -> None:
    quoting = 0
    with worker(synced):
        for command in commands:
            for columns in (80, None):
                said = replace(tds, columns=columns)(*command, *(["--json"] if form == "json" else []))
                written = said.out + said.errors
                assert not set(written) & (set(OBEYED) - {"\x7f"}), (command, written)
                quoting += "Bolt" in written
                if form == "json" and said.exit_code == 0 and command[0] != "sync":
                    json.loads(said.out)
    assert quoting > 10


@pytest.mark.parametrize("columns", [20, 40, 80, 120, 160, None])
def test_a_table_of_any_width_cuts_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int | None
) -> None:
    if columns:
        monkeypatch.setenv("COLUMNS", str(columns))
    else:
        monkeypatch.delenv("COLUMNS", raising=False)
    names = [f"{name}_{number}" for name in ENTITIES for number in range(2)]
    sentence = "the first of many words that say why it is so and what to do about it now"
    header = ("run", "entity", "mode", "none", "calls", "id", "why")
    rows = [
        (n, name, "incremental", None, 1234, f"17835410000000{n:05}", f"{sentence} {n}") for n, name in enumerate(names)
    ]
    say_table("Runs", header, rows, console=terminal())
    out = capsys.readouterr().out
    assert "…" not in out
    for number, name in enumerate(names):
        assert f"17835410000000{number:05}" in out
        assert name in out
    assert " ".join(out.split()).count("it now") + out.count("now") >= len(names)
    if columns is None:
        lines = out.splitlines()
        assert len(lines) == len(names) + 2, "one line a row"
    if columns in (120, 160):
        assert max(map(len, out.splitlines())) <= columns


def test_the_runs_of_all_entities_differ_in_a_narrow_terminal_and_in_a_pipe(tds: CommandLine, synced: World) -> None:
    tds("sync", "all", "--mode", "full", "--json")
    for columns in (80, None):
        out = replace(tds, columns=columns)("runs").out
        assert [name for name in ENTITIES if name not in out.split()] == []


@pytest.mark.parametrize(
    "command", ["runs", "queue", "schedule list", "health", "doctor --offline", "stats", "workers status", "heal"]
)
def test_no_command_cuts_a_word(tds: CommandLine, synced: World, command: str) -> None:
    tds("sync", "all", "--json")
    for columns in (80, None):
        assert "…" not in replace(tds, columns=columns)(*command.split()).out
