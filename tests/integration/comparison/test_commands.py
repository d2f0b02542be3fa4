"""`tds compare`: says equal only of what is, names what differs and why, and has it mended."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tds_api.cli.comparison import watch
from tests.support.command_line import CommandLine
from tests.support.comparing import load_all
from tests.support.comparing_workers import working
from tests.support.standin import StandIn
from tests.support.world import World


@pytest.fixture
def loaded(synced: World) -> World:
    """Products, customers and vendors mirrored."""
    for name in ("product", "customer", "vendor"):
        synced.run(name, "full")
    return synced


@pytest.fixture
def tds(loaded: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys, columns=220)


@pytest.fixture
def workers(loaded: World) -> Iterator[None]:
    with working(loaded):
        yield


def edit_here(world: World, count: int = 1) -> list[str]:
    """Change rows by hand. Returns their ids."""
    rows = world.rows("select source_id from erp.product where deleted_at is null order by source_id limit :n", n=count)
    ids = [row["source_id"] for row in rows]
    world.execute("update erp.product set price = price + 1 where source_id = any(:ids)", ids=ids)
    return ids


def test_an_equal_mirror_is_exit_code_0_and_shows_how_it_is_proven(tds: CommandLine, workers: None) -> None:
    said = tds("compare", "vendor")
    assert (said.exit_code, "Equal" in said.out) == (0, True), said.errors
    assert "by list" in said.out
    assert "--statement FILE" in said.errors


def test_a_whole_organisation_is_compared_in_one_command(tds: CommandLine, synced: World, workers: None) -> None:
    load_all(synced)
    said = tds("compare", "--json")
    assert (said.exit_code, said.json["agreement"], len(said.json["parts"])) == (0, "equal", 14), said.out
    assert said.json["score"] == "100.00"
    assert said.json["differences"] == []


def test_a_row_changed_by_hand_is_exit_code_1_with_both_values_and_the_cause(
    tds: CommandLine, loaded: World, workers: None
) -> None:
    [changed] = edit_here(loaded)
    said = tds("compare", "product")
    assert said.exit_code == 1
    line = next(line for line in said.out.splitlines() if changed in line)
    assert "price" in line
    assert "changed here, not by TDS" in line
    assert "--repair" in said.errors
    told = tds("compare", "--show", "1", "--json")
    assert (told.exit_code, [each["cause"] for each in told.json["differences"]]) == (1, ["edited_here"])


def test_at_most_twenty_records_are_shown_and_all_on_request(tds: CommandLine, loaded: World, workers: None) -> None:
    changed = edit_here(loaded, 25)
    said = tds("compare", "product")
    assert sum(each in said.out for each in changed) == 20
    assert "20 of 25" in said.out
    all_of_them = tds("compare", "--show", "1", "--differences")
    assert all(each in all_of_them.out for each in changed)


def test_repair_shows_the_price_brings_the_records_and_says_what_is_equal_now(
    tds: CommandLine, loaded: World, standin: StandIn, workers: None
) -> None:
    edit_here(loaded, 3)
    standin.delete("items", standin.ids("items")[-1])
    said = tds("compare", "product", "--repair", "--yes")
    assert said.exit_code == 0, said.errors
    assert "4 records are read again" in said.errors
    assert "Of 4 records that differed, 4 are equal now." in said.errors
    assert "Equal" in said.out
    follows = loaded.value("select follows_run_id from tds_comparison_reports where comparison_id = 2")
    assert follows == loaded.value("select run_id from tds_comparison_reports where comparison_id = 1")


def test_repair_of_an_earlier_comparison_does_not_compare_first(tds: CommandLine, loaded: World, workers: None) -> None:
    edit_here(loaded)
    assert tds("compare", "product").exit_code == 1
    said = tds("compare", "product", "--show", "1", "--repair", "--yes", "--json")
    assert (said.exit_code, said.json["agreement"]) == (0, "equal")
    assert (said.json["before"]["difference_count"], said.json["repair"]["record_count"]) == (1, 1)
    assert loaded.value("select count(*) from tds_comparisons") == 2


def test_nothing_is_repaired_without_a_yes(
    tds: CommandLine, loaded: World, workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_here(loaded)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    said = tds("compare", "product", "--repair")
    assert said.exit_code == 1
    assert "Nothing was done" in said.errors
    assert loaded.value("select count(*) from tds_sync_runs where mode = 'targeted'") == 0


def test_policies_keep_a_record_as_it_is_until_asked(
    tds: CommandLine, loaded: World, workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_here(loaded)
    monkeypatch.setenv("TDS_REPAIR_POLICIES", "product.price=ask")
    said = tds("compare", "product", "--repair", "--yes")
    assert said.exit_code == 1
    assert "--include-asked" in said.errors
    assert tds("compare", "product", "--show", "1", "--repair", "--yes", "--include-asked").exit_code == 0


def test_what_is_put_off_for_long_is_exit_code_3_and_says_until_when(tds: CommandLine, loaded: World) -> None:
    loaded.execute("update tds_source_tokens set paused_until = now() + interval '1 hour', pause_reason = 'quota used'")
    with working(loaded, hurries=False):
        said = tds("compare", "product")
    assert said.exit_code == 3, said.out
    assert "quota used" in said.errors
    assert "tds compare --show 1" in said.errors
    assert "nothing is proven" in said.out


def test_without_workers_it_is_exit_code_3_and_says_how_to_start_them(
    tds: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PATIENCE_SECONDS", 0.3)
    said = tds("compare", "product")
    assert (said.exit_code, "tds up" in said.errors) == (3, True)


def test_without_a_connection_it_is_exit_code_3_and_says_how_to_connect(
    tds: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_REFRESH_TOKEN", "")
    said = tds("compare")
    assert (said.exit_code, "tds zoho connect" in said.errors) == (3, True)


def test_ctrl_c_stops_watching_and_not_the_comparison(
    tds: CommandLine, loaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=time.monotonic, sleep=interrupt))
    said = tds("compare", "product")
    assert said.exit_code == 3
    assert "tds compare --show 1" in said.errors
    assert "tds compare --cancel 1" in said.errors
    assert loaded.value("select state from tds_comparisons") == "running"


def test_a_comparison_is_requested_and_left_to_the_workers_and_cancelled(tds: CommandLine, loaded: World) -> None:
    said = tds("compare", "product", "--no-wait")
    assert (said.exit_code, "tds compare --show 1" in said.errors) == (3, True)
    assert tds("compare", "--cancel", "1").exit_code == 0
    cancelled = tds("compare", "--show", "1", "--json")
    assert (cancelled.exit_code, cancelled.json["state"]) == (3, "cancelled")
    done = loaded.rows("select operation, outcome from tds_operator_actions order by id")
    assert [tuple(row.values()) for row in done] == [("cli.compare", "done"), ("cli.compare.cancel", "done")]


def test_an_open_comparison_of_something_else_goes_first(tds: CommandLine, loaded: World) -> None:
    assert tds("compare", "vendor", "--no-wait").exit_code == 3
    with working(loaded):
        said = tds("compare", "product", "--json")
    assert (said.exit_code, [part["entity"] for part in said.json["parts"]], said.json["id"]) == (0, ["product"], 2)
    assert "goes first" in said.errors


def test_a_statement_is_written_printed_and_absent_where_nothing_was_proven(
    tds: CommandLine, loaded: World, tmp_path: Path
) -> None:
    file = tmp_path / "statement.json"
    with working(loaded):
        assert tds("compare", "vendor", "--statement", str(file)).exit_code == 0
    printed = tds("compare", "--show", "1", "--statement")
    assert json.loads(file.read_text()) == json.loads(printed.out)
    tds("compare", "vendor", "--no-wait")
    tds("compare", "--cancel", "2")
    said = tds("compare", "--show", "2", "--statement", str(tmp_path / "none.json"))
    assert (said.exit_code, "no statement" in said.errors) == (3, True)
    assert not (tmp_path / "none.json").exists()


BAD_INPUT = [
    (("unicorn",), "Entities: location"),
    (("--show", "404"), "There is no comparison 404"),
    (("--cancel", "404"), "There is no comparison 404"),
    (("--yes",), "--repair"),
    (("--no-wait", "--repair"), "--no-wait"),
    (("--show", "1", "--cancel", "1"), "--cancel ID"),
    (("--show", "1", "--deep", "5"), "new comparison"),
    (("--repair", "--json"), "--yes"),
    (("--deep", "-1"), "--deep"),
]


def test_bad_input_is_exit_code_2_and_says_what_to_write(tds: CommandLine, loaded: World) -> None:
    for arguments, names in BAD_INPUT:
        said = tds("compare", *arguments)
        assert (said.exit_code, names in said.errors) == (2, True), (arguments, said.errors)
    assert loaded.value("select count(*) from tds_comparisons") == 0


def test_a_database_that_is_away_is_an_error_and_never_a_difference(
    tds: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDS_DATABASE_URL", "postgresql://tds:hunter2@127.0.0.1:1/tds")
    said = tds("compare")
    assert (said.exit_code, "tds doctor" in said.errors, "hunter2" in said.errors) == (2, True, False)
