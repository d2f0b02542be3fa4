"""`tds doctor` on what lies deeper: room for every process, lasting commits, the same time, Zoho's side of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests
import responses
from cryptography.fernet import Fernet
from psycopg2 import connect

from tds_api.cli.doctor import run_checks
from tds_api.cli.doctor_checks import machine, postgres, zoho
from tds_api.cli.doctor_checks.broker import broker
from tds_api.cli.doctor_checks.redis_server import _room
from tds_api.cli.doctor_checks.result import CheckResult
from tds_core.config.settings import Settings, load_settings
from tds_core.database_urls import without_driver
from tds_core.health.health import HealthState
from tds_core.worker_slots import Capacity
from tests.support.standin import StandIn
from tests.support.world import World

ACCOUNTS, API = "https://accounts.zoho.com", "https://www.zohoapis.com"


def by_name(findings: Iterator[CheckResult]) -> dict[str, CheckResult]:
    return {each.check: each for each in findings}


@pytest.mark.parametrize(
    ("workers", "state"),
    [("2", HealthState.OK), ("8", HealthState.WARNING), ("16", HealthState.CRITICAL)],
    ids=["few", "many", "too many"],
)
def test_connections_must_do_for_every_process_the_settings_start(workers: str, state: HealthState) -> None:
    found = postgres.connections(load_settings({"TDS_WORKERS": workers}), allowed=97)
    assert found.state is state
    assert ("max_connections" in found.mend) is (state is not HealthState.OK)


def test_connections_must_do_for_workers_that_run_whatever_the_settings_start() -> None:
    found = postgres.connections(load_settings({"TDS_WORKERS": "1"}), 97, Capacity(worker_count=8, slot_count=32))
    assert found.state is HealthState.CRITICAL
    assert "8 workers with 32 tasks" in found.says


def test_a_database_that_a_power_cut_may_destroy_is_reported(database: str) -> None:
    found = by_name(postgres.postgres(load_settings({"TDS_DATABASE_URL": database})))
    with connect(without_driver(database)) as connection, connection.cursor() as cursor:
        cursor.execute("show fsync")
        [(fsync,)] = cursor.fetchall()
    connection.close()
    assert found["Durability"].is_ok is (fsync == "on")
    assert ("ALTER SYSTEM SET fsync = on" in found["Durability"].mend) is (fsync == "off")
    assert found["Connections"].state is not HealthState.CRITICAL
    assert found["Clock of PostgreSQL"].is_ok


def test_a_redis_that_is_almost_full_is_doubtful() -> None:
    assert _room({"used_memory": 70, "maxmemory": 100}).is_ok
    assert _room({"used_memory": 81, "maxmemory": 100}).state is HealthState.WARNING
    assert _room({"used_memory": 10**9, "maxmemory": 0}).is_ok


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("amqp://tds:hidden@127.0.0.1:1/", "refused"),
        ("sentinel://:hidden@127.0.0.1:1/0?master=books", "No master found for 'books'"),
    ],
)
def test_a_broker_that_does_not_answer_is_a_problem_and_its_password_stays_hidden(address: str, says: str) -> None:
    [found] = broker(load_settings({"TDS_REDIS_URL": "redis://127.0.0.1:2/0", "TDS_BROKER_URL": address}))
    assert found.state is HealthState.CRITICAL
    assert says in found.says and "hidden" not in found.says and "TDS_BROKER_URL" in found.mend


def test_a_broker_of_its_own_is_looked_at_and_the_redis_itself_only_once(redis_url: str) -> None:
    [found] = broker(load_settings({"TDS_REDIS_URL": "redis://127.0.0.1:2/0", "TDS_BROKER_URL": redis_url}))
    assert found.state is HealthState.OK
    assert list(broker(load_settings({"TDS_REDIS_URL": redis_url}))) == []


def test_a_key_that_does_not_open_what_is_stored_is_a_problem(synced: World, database: str) -> None:
    right, wrong = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    synced.execute(
        "insert into tds_source_tokens (source, refresh_token) values ('zoho', :token)"
        " on conflict (source) do update set refresh_token = excluded.refresh_token",
        token=Fernet(right).encrypt(b"a token"),
    )
    found = [
        machine.secrets(load_settings({"TDS_DATABASE_URL": database, "TDS_SECRET_KEY": key}))
        for key in (right, wrong, "")
    ]
    assert [each.state for each in found] == [HealthState.OK, HealthState.CRITICAL, HealthState.CRITICAL]
    assert "does not open 1 " in found[1].says and "give-up" in found[2].mend


def test_packages_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.packages().is_ok
    monkeypatch.setattr(machine, "_version", lambda name: {"celery": "4.4.0", "kombu": None}.get(name, "99999"))
    found = machine.packages()
    assert found.state is HealthState.CRITICAL
    assert "celery 4.4.0" in found.says
    assert "kombu is missing" in found.says
    assert found.mend == "make install"


@pytest.mark.parametrize(("seconds", "is_well"), [(5, True), (-3600, False), (3600, False)])
def test_a_clock_far_from_zoho_s_is_a_problem(seconds: float, is_well: bool) -> None:
    told = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    with responses.RequestsMock() as net:
        net.head(ACCOUNTS, status=302, headers={"Date": told})
        net.head(API, status=302, headers={"Date": told})
        found = list(zoho.ways(load_settings({})))
    assert [each.is_ok for each in found] == [is_well, is_well]
    assert is_well or found[0].mend == "timedatectl set-ntp true"


def test_no_way_to_zoho_is_a_problem_that_names_the_address() -> None:
    with responses.RequestsMock() as net:
        net.head(ACCOUNTS, body=requests.ConnectionError("no route"))
        net.head(API, body=requests.ConnectTimeout("slow"))
        found = list(zoho.ways(load_settings({})))
    assert [each.state for each in found] == [HealthState.CRITICAL] * 2
    assert f"{ACCOUNTS}: no answer (ConnectionError)" in found[0].says
    assert f"{API}: no answer (ConnectTimeout)" in found[1].says


@pytest.fixture
def connected(synced: World, standin: StandIn) -> Settings:
    """The settings of a TDS that has just read from Zoho."""
    synced.enqueue("product", standin.ids("items")[0], must_read=True)
    synced.drain("product")
    return load_settings()


def test_access_is_known_without_asking_zoho(connected: Settings, standin: StandIn, synced: World) -> None:
    standin.calls.clear()
    assert zoho.connection_result(connected).is_ok
    synced.execute("update tds_source_tokens set refused_at = now(), refusal = 'revoked by its user'")
    found = zoho.connection_result(connected)
    assert (found.state, found.mend) == (HealthState.CRITICAL, "tds zoho connect")
    assert found.says.startswith("revoked by its user, since 20")
    assert standin.calls == []


def test_webhooks_that_zoho_was_never_asked_for_are_a_problem_with_its_mend(connected: Settings) -> None:
    assert "TDS_PUBLIC_URL" in zoho.webhooks(connected).mend
    found = zoho.webhooks(connected.replace("test", public_url="https://tds.example"))
    assert (found.state, found.mend) == (HealthState.CRITICAL, "tds zoho webhooks install")


def test_every_problem_and_every_doubt_comes_with_a_mend(database: str, redis_url: str) -> None:
    params = {"TDS_DATABASE_URL": database, "TDS_REDIS_URL": redis_url, "TDS_UNSIGNED_WEBHOOKS": "yes"}
    found = list(run_checks(load_settings(params)))
    assert [each.check for each in found if bool(each.mend) is each.is_ok] == []
    assert len({each.check for each in found}) == len(found) > 14


def test_the_addresses_calls_go_to_are_tried_and_not_those_of_the_settings(
    connected: Settings, synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = connected.replace("test", zoho_api_url="http://127.0.0.1:1")
    found = {each.check: each for each in zoho.ways(elsewhere)}
    assert found["Way to its API"].is_ok
    assert standin.url in found["Way to its API"].says
    synced.execute("update tds_source_tokens set api_url = 'http://127.0.0.1:1'")
    found = {each.check: each for each in zoho.ways(connected)}
    assert found["Way to its API"].state is HealthState.CRITICAL
    assert "http://127.0.0.1:1: no answer (ConnectionError: connection refused)" in found["Way to its API"].says


def test_a_webhook_secret_is_missed_only_where_webhooks_are_expected(connected: Settings) -> None:
    without = connected.replace("test", zoho_webhook_secret="")
    assert zoho.settings_for_zoho(without).is_ok
    assert zoho.signatures(without).is_ok
    found = zoho.signatures(without.replace("test", public_url="https://tds.example"))
    assert (found.state, "ZOHO_WEBHOOK_SECRET" in found.mend) == (HealthState.WARNING, True)


def test_what_may_not_be_read_is_a_problem_that_names_the_scope(
    connected: Settings, synced: World, standin: StandIn
) -> None:
    standin.fail("unauthorized", "/books/v3/bills", count=0)
    synced.run("bill", "full")
    found = zoho.connection_result(connected)
    assert found.state is HealthState.CRITICAL
    assert "bills of Books (bill): add ZohoBooks.bills.READ; refused since 20" in found.says
    assert "tds zoho retry" in found.mend
