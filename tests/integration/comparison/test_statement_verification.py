"""`tds verify statement`: proves a statement with nothing but the key, and says what is wrong with a forged one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.support.command_line import CommandLine
from tests.support.comparing import compare
from tests.support.world import World


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def file(synced: World, tds: CommandLine, tmp_path: Path) -> Path:
    """The second statement, in a file."""
    synced.run("vendor", "full")
    for _ in range(2):
        compare(synced, "vendor")
    path = tmp_path / "statement.json"
    assert tds("compare", "--show", "2", "--statement", str(path)).exit_code == 0
    return path


def without_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TDS_DATABASE_URL", "")
    monkeypatch.setenv("TDS_HOME", str(tmp_path / "elsewhere"))


def forge(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def forge_body(path: Path, change: Any) -> None:
    body = json.loads(json.loads(path.read_text())["body"])
    change(body)
    forge(path, body=json.dumps(body, separators=(",", ":")))


def test_a_statement_is_proven_without_a_database(
    tds: CommandLine, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as alone:
        without_database(alone, tmp_path)
        said = tds("verify", "statement", str(file))
        told = tds("verify", "statement", str(file), "--json").json
    assert (said.exit_code, "is what was signed" in said.out) == (0, True), said.errors
    assert "5 of 5 records equal" in said.out
    assert (told["verifies"], told["is_in_chain"], told["reasons"]) == (True, None, [])
    assert told["statement"]["entities"]["vendor"]["there_count"] == 5


@pytest.fixture
def differing(synced: World, tds: CommandLine, tmp_path: Path) -> Path:
    """A statement of vendors that all have another name, in a file."""
    synced.run("vendor", "full")
    synced.execute("update erp.vendor set name = 'changed'")
    compare(synced, "vendor")
    path = tmp_path / "statement.json"
    tds("compare", "--show", "1", "--statement", str(path))
    return path


def test_the_records_that_differ_are_named(tds: CommandLine, differing: Path, synced: World) -> None:
    ids = [row["source_id"] for row in synced.rows("select source_id from erp.vendor order by 1")]
    said = tds("verify", "statement", str(differing))
    assert (said.exit_code, f"{ids[0]}: different in name" in said.out) == (0, True), said.out
    named = tds("verify", "statement", str(differing), "--json").json["statement"]["entities"]["vendor"]["differences"]
    assert named["records"] == [{"id": each, "kind": "different", "fields": ["name"]} for each in ids]


def test_a_named_record_that_is_left_out_is_found_out(tds: CommandLine, differing: Path) -> None:
    forge_body(differing, lambda body: body["entities"]["vendor"]["differences"]["records"].pop())
    said = tds("verify", "statement", str(differing))
    assert "vendor: the records that are named do not come to its digest" in said.out


def test_beside_a_database_the_chain_must_have_it(tds: CommandLine, file: Path) -> None:
    said = tds("verify", "statement", str(file))
    assert (said.exit_code, "the chain has it in its place" in said.out) == (0, True)


def test_a_database_that_is_away_leaves_the_proof_alone(
    tds: CommandLine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("TDS_DATABASE_URL", "postgresql://tds@127.0.0.1:1/tds")
        said = tds("verify", "statement", str(file))
    assert (said.exit_code, "not looked for in the chain" in said.errors) == (0, True)


TAMPERED: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda body: body.update(equal_count=6), "equal_count is stated as 6, and the entities have 5"),
    (lambda body: body["entities"]["vendor"].update(there_count=6), "do not have the 6 records"),
    (lambda body: body["entities"]["vendor"]["buckets"].reverse(), "do not come to its root"),
    (lambda body: body["entities"]["vendor"].update(root_here="00"), "the roots of the two sides differ"),
    (lambda body: body.pop("entities"), "not that of a statement"),
    (lambda body: body["entities"]["vendor"].update(buckets=[[-1, "zz"]]), "not that of a statement"),
    (lambda body: body.update(agreement="perfect"), "the signature is not of this text"),
]


def test_a_tampered_statement_is_exit_code_1_with_what_is_wrong(tds: CommandLine, file: Path) -> None:
    signed = file.read_text()
    for change, reason in TAMPERED:
        file.write_text(signed)
        forge_body(file, change)
        said = tds("verify", "statement", str(file))
        assert said.exit_code == 1, reason
        assert "the signature is not of this text" in said.out, reason
        assert reason in said.out


def test_what_stands_around_the_body_is_signed_too(tds: CommandLine, file: Path) -> None:
    signed = file.read_text()
    for changes in ({"number": 3}, {"made_at": "2020-01-01T00:00:00Z"}, {"previous": "00"}, {"digest": "é"}):
        file.write_text(signed)
        forge(file, **changes)
        said = tds("verify", "statement", str(file), "--json")
        assert (said.exit_code, said.json["verifies"]) == (1, False), changes
        assert "the signature is not of this text" in said.json["reasons"], changes


def test_an_unknown_key_proves_nothing_and_names_the_setting(
    tds: CommandLine, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as alone:
        without_database(alone, tmp_path)
        alone.setenv("TDS_SECRET_KEY", Fernet.generate_key().decode())
        said = tds("verify", "statement", str(file))
    assert (said.exit_code, "TDS_SECRET_KEY_PREVIOUS" in said.out) == (1, True)


def test_a_statement_the_chain_lost_or_replaced_is_named(tds: CommandLine, file: Path, synced: World) -> None:
    synced.execute("alter table tds_statements disable trigger user")
    synced.execute("update tds_statements set digest = decode('00', 'hex') where number = 1")
    assert "the chain is broken before statement 2" in tds("verify", "statement", str(file)).out
    synced.execute("delete from tds_statements where number = 2")
    said = tds("verify", "statement", str(file))
    assert (said.exit_code, "the chain has no statement 2; its newest is 1" in said.out) == (1, True)


def test_other_files_are_refused_in_one_sentence(tds: CommandLine, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('{"number": 1}')
    said = tds("verify", "statement", str(file))
    assert (said.exit_code, "no statement of agreement" in said.errors) == (1, True)
    missing = tds("verify", "statement", str(file.with_name("nowhere")))
    assert (missing.exit_code, "cannot be read" in missing.errors) == (2, True)


def test_without_a_key_the_setting_is_named(tds: CommandLine, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as keyless:
        keyless.setenv("TDS_SECRET_KEY", "")
        said = tds("verify", "statement", str(file))
    assert (said.exit_code, "TDS_SECRET_KEY" in said.errors) == (2, True)
    monkeypatch.setenv("TDS_SECRET_KEY", "no key")
    assert tds("verify", "statement", str(file)).exit_code == 2


def test_verify_alone_still_checks_the_whole_history(tds: CommandLine, file: Path) -> None:
    said = tds("verify")
    assert (said.exit_code, "0 promises broken" in said.out) == (0, True)
