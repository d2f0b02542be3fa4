"""`tds doctor`: every problem comes with its mend, and the exit code tells a script."""

import os
import subprocess
import sys
from pathlib import Path

import redis

from tds_api.cli.doctor_checks import machine, postgres, zoho
from tds_api.cli.doctor_checks.redis_server import redis_server
from tds_api.cli.doctor_checks.result import CheckResult
from tds_core.config.settings import Settings, load_settings


def settings_of(**environ: str) -> Settings:
    return load_settings(environ)


def by_name(findings: list[CheckResult]) -> dict[str, CheckResult]:
    return {each.check: each for each in findings}


def test_a_migrated_database_is_in_order(database: str) -> None:
    found = by_name(list(postgres.postgres(settings_of(TDS_DATABASE_URL=database))))
    assert found["PostgreSQL"].is_ok
    assert found["Schema"].is_ok


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
