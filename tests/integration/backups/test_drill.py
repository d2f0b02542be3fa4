"""A drill: what is restored is held against its seals and against Zoho, and one dated row says how it ended."""

import threading

import pytest

from tests.support.backed_up_server import BackedUpServer, read_everything
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn

EDITS_PER_SECOND = 20.0


@pytest.mark.long
def test_a_backup_taken_amid_edits_ends_equal_to_zoho(
    here: BackedUpServer, tds: CommandLine, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**standin.settings, "TDS_COMPARISON_SETTLE_SECONDS": "2", "TDS_GUARD_PERCENT": "100"}.items():
        monkeypatch.setenv(name, value)
    assert read_everything()["difference_count"] == 0
    assert tds("audit", "seal").exit_code == 0
    here.archive()
    assert tds("backup").exit_code == 0

    stream = standin.sandbox.stream
    stream.start(EDITS_PER_SECOND)
    syncing = threading.Thread(target=read_everything)
    syncing.start()
    taken = tds("backup", "--json").json
    syncing.join()
    stream.stop()
    here.await_archive()
    standin.delete("items", standin.ids("items")[0])
    assert taken["kind"] == "incremental"

    drilled = tds("restore", "--drill", "--json")
    assert drilled.exit_code == 0, (drilled.out, drilled.errors)
    found = drilled.json
    assert (found["comparison"]["difference_count"], found["comparison"]["unproven"]) == (0, [])
    assert found["comparison"]["record_count"] > 100
    [row] = here.rows("select kind, backup, error, reached_at, steps from tds_restores")
    assert (row["kind"], row["backup"], row["error"]) == ("drill", taken["name"], None)
    assert [step["name"] for step in row["steps"]] == ["verify", "assemble", "recover", "migrate", "seals", "compare"]
    assert row["reached_at"] is not None
    assert list((here.home / "drill").glob("**/data-*")) == []
    [listed] = tds("backup", "list", "--json").json["restores"]
    assert (listed["id"], listed["error"]) == (found["id"], None)


def test_a_drill_of_a_history_that_was_edited_fails_and_says_so(here: BackedUpServer, tds: CommandLine) -> None:
    insert = "insert into tds_operator_actions (caller, caller_kind, operation, subject, outcome, correlation_id)"
    here.execute(f"{insert} values ('ann', 'operator', 'runs.approve', '1', 'done', 'c')")
    assert tds("audit", "seal").exit_code == 0
    here.execute("""
        alter table tds_operator_actions disable trigger user;
        update tds_operator_actions set caller = 'bob';
        alter table tds_operator_actions enable trigger user""")
    tds("backup")
    drilled = tds("restore", "--drill")
    assert drilled.exit_code == 1
    assert "breaks its seals" in drilled.errors
    [row] = here.rows("select error, steps from tds_restores")
    assert "breaks its seals" in row["error"]
    assert row["steps"][-1]["name"] == "seals"
