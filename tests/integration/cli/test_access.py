"""`tds` and access: keys and operators by command, what commands do written down, and a TDS elsewhere."""

import json
import threading
from collections.abc import Iterator
from getpass import getuser

import pytest
from werkzeug.serving import make_server

from tds_core.auth import api_keys, operators
from tds_core.schedule import job_store
from tds_core.validation import stored_reports
from tds_core.validation.rules import Severities
from tds_local.embedded.readiness import is_free
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.command_line import CommandLine
from tests.support.mirror_rows import put
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World, product


@pytest.fixture
def tds(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def there(world: World, database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    """A TDS that is reached over HTTP alone: the settings name neither its database nor its Redis."""
    with session_scope(world.engine) as session:
        job_store.seed(session, {"nightly": ("0 2 * * *", "runs", {"mode": "full"}, "once")})
    with sender_for(database, world.engine, TDS_REDIS_URL=redis_url) as sender:
        server = make_server("127.0.0.1", 0, sender.app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("TDS_DATABASE_URL", "TDS_REDIS_URL"):
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("TDS_URL", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("TDS_API_KEY", key_for(sender, Role.ADMIN))
        yield sender
        server.shutdown()
        server.server_close()
        monkeypatch.setenv("TDS_DATABASE_URL", database)  # the world that ends next asks for it


def key_for(sender: Sender, role: Role) -> str:
    with session_scope(sender.engine) as session:
        return api_keys.create_key(session, name=role.value, role=role, by="test")[1]


def recorded(world: World) -> list[tuple[str, str, str]]:
    rows = world.rows(
        "select caller, operation, outcome from tds_operator_actions where caller_kind = 'cli' order by id"
    )
    return [tuple(row.values()) for row in rows]


def test_a_key_is_made_seen_and_revoked(tds: CommandLine, world: World) -> None:
    made = tds("keys", "create", "erp", "--role", "operator", "--scope", "entities", "--days", "30", "--json").json
    with session_scope(world.engine) as session:
        caller = api_keys.authenticate_key(session, made["key"])
    assert (caller.role, caller.scopes) == (Role.OPERATOR, ("entities",))
    listed = tds("keys", "list").out
    assert made["prefix"] in listed
    assert made["key"].split("_")[2] not in listed
    assert tds("keys", "revoke", made["prefix"]).exit_code == 0
    assert tds("keys", "list", "--json").json == []
    assert tds("keys", "list", "--all", "--json").json[0]["revoked_by"] == getuser()


def test_a_key_alone_is_on_the_output_so_that_a_script_can_take_it(tds: CommandLine) -> None:
    said = tds("keys", "create", "erp")
    assert said.out.startswith("tds_")
    assert len(said.out.split()) == 1
    assert "Shown this once" in said.errors


def test_operators_are_made_changed_and_shut_out(tds: CommandLine, world: World) -> None:
    made = tds("operators", "create", "boss", "--role", "admin", "--json").json
    assert made["password"]
    assert "shown this once" in tds("operators", "create", "ali").out
    assert tds("operators", "role", "ali", "operator").exit_code == 0
    assert tds("operators", "password", "ali", "--json").json["password"]
    assert tds("operators", "disable", "ali").exit_code == 0
    found = {row["name"]: row for row in tds("operators", "list", "--json").json}
    assert (found["ali"]["role"], found["ali"]["disabled_at"] is None) == ("operator", False)
    assert tds("operators", "enable", "ali").exit_code == 0
    last = tds("operators", "disable", "boss")
    assert (last.exit_code, "last_admin" in last.errors) == (1, True)
    assert tds("operators", "create", "ali").exit_code == 1


def test_what_commands_do_is_written_down_by_account(tds: CommandLine, world: World) -> None:
    tds("keys", "create", "erp")
    tds("keys", "revoke", "00000000")
    tds("sync", "product")
    tds("runs", "cancel", str(world.value("select id from tds_sync_runs")))
    me = getuser()
    assert recorded(world) == [
        (me, "cli.keys.create", "done"), (me, "cli.keys.revoke", "refused"), (me, "cli.sync", "done"),
        (me, "cli.runs.cancel", "done"),
    ]  # fmt: skip
    shown = tds("audit", "actions", "--outcome", "refused", "--json").json
    assert [(row["operation"], row["error"]) for row in shown] == [("cli.keys.revoke", "not_found")]
    assert "cli.runs.cancel" in tds("audit", "actions", "--by", me).out


def test_what_is_refused_here_changes_nothing(tds: CommandLine, world: World) -> None:
    tds("keys", "create", "erp", "--scope", "NOT A SCOPE")
    assert world.value("select count(*) from tds_api_keys") == 0
    assert [row[2] for row in recorded(world)] == ["refused"]


def test_elsewhere_is_read_like_here(tds: CommandLine, there: Sender, world: World) -> None:
    world.enqueue("product", "1")
    run_id = world.request_run("product", "full")
    for command in (
        ("runs", "list"), ("runs", "show", str(run_id)), ("findings",), ("schedule", "list"), ("breakers",),
        ("zoho", "quota"), ("dead-letter", "list"), ("dead-letter",), ("keys", "list"), ("operators", "list"),
        ("audit", "actions"), ("explain", "product", "1"), ("heal", "stats"), ("heal", "history"), ("heal", "run"),
        ("queue",),
    ):  # fmt: skip
        said = tds(*command)
        assert (said.exit_code, said.errors) == (0, ""), (command, said.errors)
        as_json = tds(*command, "--json")
        assert as_json.exit_code == 0, command
        assert as_json.json is not None


def test_a_record_elsewhere_is_explained_with_its_changes(tds: CommandLine, there: Sender, world: World) -> None:
    world.execute(
        "insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, correlation_id)"
        " values ('zoho', 'product', '1', 1, 'created', cast(:changes as jsonb), 'webhook', 'c')",
        changes='{"price": [null, "1.10"]}',
    )
    said = tds("explain", "product", "1")
    assert (said.exit_code, "1.10" in said.out) == (0, True), said.errors
    assert tds("explain", "product", "1", "--json").json["steps"][0]["detail"]["changes"] == {"price": [None, "1.10"]}


def test_elsewhere_is_acted_upon_like_here(tds: CommandLine, there: Sender, world: World) -> None:
    assert tds("sync", "product", "--mode", "full").exit_code == 0
    run_id = str(world.value("select id from tds_sync_runs"))
    assert "stops before its next page" in tds("runs", "cancel", run_id).out
    assert "had ended already" in tds("runs", "cancel", run_id).out
    assert tds("schedule", "pause", "nightly").exit_code == 0
    assert world.value("select paused_at is not null from tds_scheduled_jobs")
    assert "runs next" in tds("schedule", "resume", "nightly").out
    assert tds("schedule", "set", "nightly", "0 3 * * *").exit_code == 0
    assert tds("schedule", "pause", "nothing").exit_code == 1
    made = tds("keys", "create", "erp", "--json").json
    assert tds("keys", "revoke", made["prefix"]).exit_code == 0
    callers = {row["caller_kind"] for row in world.rows("select caller_kind from tds_operator_actions")}
    assert callers == {"key"}


def test_health_elsewhere_is_judged_there(tds: CommandLine, there: Sender) -> None:
    said, as_json = tds("health"), tds("health", "--json")
    assert said.exit_code == as_json.exit_code == 5, said.errors
    assert {"database", "dispatcher"} <= {each["name"] for each in as_json.json["components"]}
    assert "Start TDS: tds up" in said.out
    assert tds("health", "--only", "database").exit_code == 0


def test_elsewhere_says_no_in_its_own_words(tds: CommandLine, there: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = tds("runs", "show", "999")
    assert (unknown.exit_code, "not_found" in unknown.errors) == (1, True)
    monkeypatch.setenv("TDS_API_KEY", key_for(there, Role.VIEWER))
    refused = tds("keys", "list")
    assert (refused.exit_code, "needs the role admin" in refused.errors) == (1, True)
    monkeypatch.setenv("TDS_API_KEY", "tds_00000000_not-a-key-of-theirs")
    assert "unauthorized" in tds("runs").errors


def test_what_works_beside_the_database_only_says_so(tds: CommandLine, there: Sender) -> None:
    said = tds("stats")
    assert (said.exit_code, "beside the database only" in said.errors) == (2, True)


def test_an_address_where_nobody_answers_is_reported(
    tds: CommandLine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = next(port for port in range(20_000, 30_000) if is_free(port))
    monkeypatch.setenv("TDS_URL", "")
    monkeypatch.setenv("TDS_API_KEY", "")
    said = tds("--url", f"http://127.0.0.1:{port}", "--key", "tds_00000000_of-nobody", "runs")
    assert (said.exit_code, "remote_unreachable" in said.errors) == (4, True)


def test_without_a_key_elsewhere_is_not_asked(tds: CommandLine, there: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDS_API_KEY", "")
    said = tds("runs")
    assert (said.exit_code, "TDS_API_KEY" in said.errors) == (2, True)


def test_operators_elsewhere(tds: CommandLine, there: Sender) -> None:
    with session_scope(there.engine) as session:
        operators.create_operator(session, name="boss", role=Role.ADMIN, by="test")
    assert tds("operators", "create", "zoe", "--role", "viewer", "--json").json["password"]
    assert tds("operators", "role", "zoe", "operator", "--json").json["role"] == "operator"
    assert tds("operators", "password", "zoe", "--json").json["password"]
    assert tds("operators", "disable", "zoe", "--json").json["disabled_at"]


def test_records_named_elsewhere_are_owed_a_reading(tds: CommandLine, there: Sender, world: World) -> None:
    world.deliver()
    said = tds("sync", "product", "--mode", "targeted", "--id", product("7")["item_id"], "--json")
    assert said.exit_code == 0
    assert world.queue_depth("product") == 1


def test_the_scorecard_of_a_tds_elsewhere_is_shown(tds: CommandLine, there: Sender) -> None:
    said = tds("acceptance")
    assert (said.exit_code, "not proven yet: nothing was compared" in said.out) == (3, True)
    document = tds("acceptance", "--json")
    assert (document.exit_code, document.json["verdict"], len(document.json["lines"])) == (3, "not_proven", 7)


def test_validation_elsewhere_is_waited_for(
    tds: CommandLine, there: Sender, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(world, "customer", source_id="x", name=None)
    at_once = tds("validate", "customers", "--json")
    assert (at_once.exit_code, at_once.json["statistics"]["invalid_records"]) == (1, 1)
    assert "required" in tds("validate", "customers").out

    def work() -> None:
        while not done.wait(0.05):
            with session_scope(world.engine) as session:
                for report_id in stored_reports.due_reports(session):
                    stored_reports.advance(session, report_id, Severities())

    done, worker = threading.Event(), threading.Thread(target=work, daemon=True)
    monkeypatch.setattr("tds_core.validation.report_requests.MOST_AT_ONCE", 0)
    monkeypatch.setattr("tds_api.cli.validate.LOOK_SECONDS", 0.05)
    worker.start()
    later = tds("validate", "customers", "--json")
    assert later.exit_code == 1
    report = json.loads(later.out[later.out.index("{\n") :])  # the worker of this process logs before it
    assert report["issues"] == at_once.json["issues"]
    assert list(report) == list(at_once.json)
    world.execute("update erp.customer set name = 'A'")
    world.execute("delete from tds_validation_reports")
    assert tds("validate", "customers").exit_code == 0
    done.set()
    worker.join()
