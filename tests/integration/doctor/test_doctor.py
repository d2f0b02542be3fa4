"""`tds doctor`: every problem comes with its mend, and the exit code tells a script."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import redis
from sqlalchemy import Engine, text

from tds_api.cli.doctor_checks import machine, postgres, zoho
from tds_api.cli.doctor_checks.redis_server import redis_server
from tds_api.cli.doctor_checks.result import CheckResult
from tds_core.config.settings import Settings, load_settings
from tds_core.health.health import HealthState
from tests.support.api_process import served
from tests.support.database_role import give_roles, superuser, superuser_url, with_role


def settings_of(**environ: str) -> Settings:
    return load_settings(environ)


def by_name(findings: list[CheckResult]) -> dict[str, CheckResult]:
    return {each.check: each for each in findings}


def test_a_migrated_database_is_in_order(database: str) -> None:
    found = by_name(list(postgres.postgres(settings_of(TDS_DATABASE_URL=database))))
    assert found["PostgreSQL"].is_ok
    assert found["Schema"].is_ok


def test_a_role_that_could_change_history_is_doubtful(database: str) -> None:
    url = superuser_url(database)
    mighty = by_name(list(postgres.postgres(settings_of(TDS_DATABASE_URL=url))))["Rights"]
    assert (mighty.state, "is a superuser" in mighty.says) == (HealthState.WARNING, True)
    assert "tds database roles" in mighty.mend
    give_roles(url)
    assert by_name(list(postgres.postgres(settings_of(TDS_DATABASE_URL=with_role(url)))))["Rights"].is_ok


def test_a_table_without_its_next_partition_is_doubtful_with_its_mend(database: str, engine: Engine) -> None:
    settings = settings_of(TDS_DATABASE_URL=database)
    assert by_name(list(postgres.postgres(settings)))["Partitions"].is_ok
    with superuser(engine) as session:
        for name in session.execute(text("select relname from pg_class where relname ~ '^tds_metrics_p[0-9]{8}$'")):
            session.execute(text(f"drop table {name[0]}"))
    found = by_name(list(postgres.postgres(settings)))["Partitions"]
    assert (found.state, found.mend) == (HealthState.WARNING, "Run: tds schedule run retention")
    assert found.says.startswith("tds_metrics: ")


def test_a_database_that_was_never_migrated_is_a_problem_with_its_mend(postgres_url: str) -> None:
    schema = by_name(list(postgres.postgres(settings_of(TDS_DATABASE_URL=postgres_url))))["Schema"]
    assert (schema.is_ok, schema.mend) == (False, "Run: tds migrate")


def test_stores_that_do_not_answer_are_problems_and_show_no_password() -> None:
    settings = settings_of(
        TDS_DATABASE_URL="postgresql://tds:hunter2@127.0.0.1:1/tds", TDS_REDIS_URL="redis://:hunter2@127.0.0.1:1/0"
    )
    for finding in (*postgres.postgres(settings), *redis_server(settings)):
        assert not finding.is_ok
        assert finding.mend
        assert "hunter2" not in finding.says + finding.mend


def test_a_redis_that_evicts_is_a_problem(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        memory = by_name(list(redis_server(settings_of(TDS_REDIS_URL=redis_url))))["Redis memory"]
        assert (memory.is_ok, "noeviction" in memory.mend) == (False, True)
    finally:
        client.config_set("maxmemory-policy", "noeviction")


def test_secrets_that_others_can_read_are_a_problem(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.json"
    secrets.write_text("{}")
    settings = settings_of(TDS_HOME=str(tmp_path))
    secrets.chmod(0o644)
    assert not machine.secrets(settings).is_ok
    secrets.chmod(0o600)
    assert machine.secrets(settings).is_ok


def test_unsigned_webhooks_are_a_problem() -> None:
    assert zoho.signatures(settings_of()).is_ok
    assert not zoho.signatures(settings_of(TDS_UNSIGNED_WEBHOOKS="yes")).is_ok


def test_wrong_settings_are_explained_without_a_traceback(tmp_path: Path) -> None:
    environment = {**os.environ, "TDS_PORT": "eighty", "TDS_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "tds_api.cli"]
    doctor = subprocess.run([*command, "doctor"], env=environment, capture_output=True, text=True, check=False)
    assert (doctor.returncode, "TDS_PORT" in doctor.stdout) == (1, True)
    up = subprocess.run([*command, "up"], env=environment, capture_output=True, text=True, check=False)
    assert (up.returncode, "TDS_PORT" in up.stderr, "Traceback" in up.stderr) == (2, True, False)


def test_a_port_where_tds_answers_is_no_problem_and_one_with_something_else_is(database: str, tmp_path: Path) -> None:
    def state_of(port: int) -> HealthState:
        return next(machine.ports(load_settings({"TDS_HOME": str(tmp_path), "TDS_PORT": str(port)}))).state

    with served(database, tmp_path) as port, socket.create_server(("127.0.0.1", 0)) as other:
        assert (state_of(port), state_of(other.getsockname()[1])) == (HealthState.OK, HealthState.CRITICAL)
