"""docker-compose.yml holds: settings reach their programs, defaults work, nothing is unbounded or has spare rights."""

import ast
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from dotenv import dotenv_values

from tds_api.server_processes import KILL_SECONDS
from tds_core.config.settings import DECLARATIONS, load_settings
from tds_core.config.sources import Declaration
from tds_core.observability.heartbeat_files import DIRECTORY, LONGEST_ROUND_SECONDS
from tds_local.embedded import postgres as embedded_postgres
from tds_local.embedded import redis as embedded_redis
from tds_local.supervisor import _GRACE_SECONDS
from tds_tasks import celeryconfig
from tests.house.code import ROOT, modules
from tests.support.compose_file import (
    BACKUP,
    CORE,
    NEEDED,
    OF_BACKUPS,
    OF_MIGRATION,
    OWN,
    SEEING,
    TLS,
    MissingVariableError,
    compose,
    environment_of,
    interpolated,
    mebibytes,
    seconds,
    service,
)

PAGE = (ROOT / "docs/containers.md").read_text()
EVERY = (*CORE, *TLS, *SEEING, *BACKUP)
LASTING = tuple(name for name in EVERY if name != "migrate")
#: The same in every container, so .env cannot change them; it is for `tds up` too, and for ports of the machine.
INSIDE = {"TDS_HOME", "TDS_HOST", "TDS_PORT", "TDS_FLOWER_PORT", "TDS_METRICS_PORT", "TDS_METRICS_HOST"}


def problems(document: dict[str, Any]) -> list[str]:
    schema = json.loads((ROOT / "tests/support/compose_spec/compose-spec.json").read_text())
    return [str(each.message) for each in jsonschema_rs.validator_for(schema).iter_errors(document)]


def test_the_file_keeps_to_the_compose_specification() -> None:
    assert problems(compose()) == []
    wrong = compose()
    wrong["services"]["api"]["mem_limt"] = wrong["services"]["api"].pop("mem_limit")
    assert len(problems(wrong)) == 1


def test_every_service_is_of_the_core_or_of_a_profile() -> None:
    profiles = {name: tuple(each.get("profiles", ())) for name, each in compose()["services"].items()}
    assert {name for name, found in profiles.items() if not found} == set(CORE)
    assert {name for name, found in profiles.items() if "seeing" in found} == set(SEEING)
    assert {name for name, found in profiles.items() if "tls" in found} == set(TLS)
    assert {name for name, found in profiles.items() if "backup" in found} == set(BACKUP)
    assert set(profiles) == set(EVERY)


@pytest.mark.parametrize("name", OWN)
def test_every_setting_reaches_every_container_that_reads_it(name: str) -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE))
    assert documented == set(DECLARATIONS)
    marked = {variable: f"mark-{variable}" for variable in DECLARATIONS}
    reached = environment_of(name, {**NEEDED, **marked})
    wanted = set(DECLARATIONS) - (set() if name == "migrate" else OF_MIGRATION)
    wanted -= set() if name in BACKUP else OF_BACKUPS
    assert sorted(wanted - set(reached)) == [], (
        "add each to `x-tds: environment:` of docker-compose.yml, as a name without a value"
    )
    own = {*INSIDE, "TDS_BACKUP_DIRECTORY"} if name in BACKUP else INSIDE
    assert {variable for variable in wanted if reached[variable] != marked[variable]} == own
    assert set(reached) <= {*wanted, "PROMETHEUS_MULTIPROC_DIR", "FLOWER_BASIC_AUTH"}


def test_with_the_least_in_env_every_setting_has_its_own_default() -> None:
    settings, plain = load_settings(environment_of("worker", NEEDED)), load_settings({})
    given = {*INSIDE, "TDS_DATABASE_URL", "TDS_REDIS_URL", "TDS_BROKER_URL", "TDS_SECRET_KEY"}

    def value(each: Declaration) -> tuple[object, object]:
        return settings.value_of(each), plain.value_of(each)

    differing = {name for name, each in DECLARATIONS.items() if len(set(map(str, value(each)))) > 1}
    assert differing <= given
    assert settings.database_url == "postgresql+psycopg2://tds_app:appSecret1@postgres:5432/tds"
    assert settings.redis_url == settings.broker_url == "redis://:redisSecret1@redis:6379/0"


def test_only_the_migration_and_the_backups_know_the_superuser() -> None:
    ours, others = NEEDED, {**NEEDED, "TDS_DATABASE_URL": "postgresql://me@elsewhere/tds"}
    address = environment_of("migrate", ours)["TDS_MIGRATION_DATABASE_URL"]
    assert address == "postgresql://tds:pgSecret1@postgres:5432/tds"
    assert environment_of("migrate", others)["TDS_MIGRATION_DATABASE_URL"] == others["TDS_DATABASE_URL"]
    for name in set(OWN) - {"migrate", *BACKUP}:
        assert "copier" not in str(environment_of(name, {**ours, "TDS_BACKUP_URL": "postgresql://copier@postgres/tds"}))
        assert "pgSecret1" not in str(environment_of(name, ours))


def test_backups_are_of_the_server_that_tds_uses() -> None:
    elsewhere = {**NEEDED, "TDS_DATABASE_URL": "postgresql://me@elsewhere/tds"}
    addresses = [load_settings(environment_of("backup", each)).backup_url for each in (NEEDED, elsewhere)]
    assert addresses == ["postgresql://tds:pgSecret1@postgres:5432/tds", "postgresql://me@elsewhere/tds"]


@pytest.mark.parametrize("missing", NEEDED)
def test_what_is_needed_is_asked_for_by_name(missing: str) -> None:
    rest = {name: value for name, value in NEEDED.items() if name != missing}
    with pytest.raises(MissingVariableError, match=missing):
        interpolated((ROOT / "docker-compose.yml").read_text(), rest)
    interpolated((ROOT / "docker-compose.yml").read_text(), NEEDED)


def test_the_page_makes_an_env_that_starts(tmp_path: Path) -> None:
    [script] = [each for each in re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if "> .env <<" in each]
    subprocess.run(["/bin/sh", "-euc", script], cwd=tmp_path, check=True)
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    made = {name: value or "" for name, value in dotenv_values(tmp_path / ".env").items()}
    settings = load_settings(environment_of("api", made))
    assert len(settings.secret_key) == 44
    assert {name for name, value in made.items() if value} == {*NEEDED, "TDS_FLOWER_PASSWORD", "GRAFANA_PASSWORD"}
    assert all(value.isalnum() for name, value in made.items() if name.endswith("PASSWORD"))


def test_no_secret_stands_in_the_file() -> None:
    named = re.compile(r"(PASSWORD|SECRET|TOKEN|_KEY|_AUTH)\b")
    for name, each in compose()["services"].items():
        for variable, value in each.get("environment", {}).items():
            if named.search(variable) or (variable in DECLARATIONS and DECLARATIONS[variable].secret):
                rest = re.sub(r"\$\{\w+:(\?[^}]*|-)\}", "", value or "")
                assert not re.search(r"://\w+:\w", rest), f"{name}: {variable}"
                assert rest in ("", "${TDS_FLOWER_USER:-tds}:") or "://" in rest, f"{name}: {variable}"


@pytest.mark.parametrize("name", EVERY)
def test_no_container_can_write_to_itself_gain_rights_or_run_as_root(name: str) -> None:
    found = service(name)
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:\d+", found["user"])


def test_our_containers_run_as_the_user_of_the_image() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text()
    assert {service(name)["user"] for name in OWN} == {"10001:10001"}
    assert "\nUSER 10001:10001\n" in text
    assert "groupadd --gid 10001 tds && useradd --uid 10001 --gid tds" in text


@pytest.mark.parametrize("name", EVERY)
def test_nothing_grows_without_a_bound(name: str) -> None:
    found = service(name)
    assert found["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}
    assert mebibytes(interpolated(found["mem_limit"], NEEDED)) >= 128


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_is_checked_and_comes_back(name: str) -> None:
    assert service(name)["healthcheck"]["test"]
    assert service(name)["restart"] == "unless-stopped"


def test_memory_suffices_for_what_the_programs_allow_themselves() -> None:
    child_mib = celeryconfig.worker_max_memory_per_child / 1024
    concurrency = load_settings({}).worker_concurrency
    assert mebibytes(interpolated(service("worker")["mem_limit"], NEEDED)) >= concurrency * child_mib + 300
    [most] = re.findall(r"--maxmemory (\d+)mb", service("redis")["command"][-1])
    assert mebibytes(interpolated(service("redis")["mem_limit"], NEEDED)) >= 2 * int(most)


def test_programs_get_the_time_they_need_to_end() -> None:
    grace = {name: seconds(service(name)["stop_grace_period"]) for name in EVERY}
    assert grace["api"] >= KILL_SECONDS + 10
    assert all(grace[name] >= _GRACE_SECONDS + celeryconfig.worker_soft_shutdown_timeout for name in OWN)
    assert grace["postgres"] >= embedded_postgres._STOP_SECONDS
    assert grace["redis"] >= embedded_redis._STOP_SECONDS


def test_postgres_runs_as_tds_up_runs_it() -> None:
    program, *found = service("postgres")["command"]
    flags = embedded_postgres.server_command(Path(), Path(), port=5432, durable=True, major=18)[3:]
    ours = {value for flag, value in zip(flags[::2], flags[1::2], strict=True) if flag == "-c"}
    of_the_place = {"listen_addresses=127.0.0.1", "unix_socket_directories=", "port=5432"}
    assert program == "postgres"
    assert {each.removeprefix("-c") for each in found} == ours - of_the_place | {"hba_file=/etc/postgresql/pg_hba.conf"}


def test_images_have_a_version_and_a_place_for_a_digest() -> None:
    for name in sorted({*EVERY} - {*OWN, *TLS}):
        image = service(name)["image"]
        variable, default = re.fullmatch(r"\$\{(\w+_IMAGE):-([^}]+)\}", image).groups()  # type: ignore[union-attr]
        assert re.search(r":v?\d+\.\d+(\.\d+)?$", default), image
        assert interpolated(image, {variable: "x@sha256:0"}) == "x@sha256:0"
        assert f"`{variable}`" in PAGE
    arguments = service("api")["build"]["args"]
    text = (ROOT / "deploy/Dockerfile").read_text()
    assert f"ARG PYTHON_IMAGE={interpolated(arguments['PYTHON_IMAGE'], {})}\n" in text
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    proxy = (ROOT / "deploy/caddy/Dockerfile").read_text()
    assert f"ARG CADDY_IMAGE={interpolated(service('proxy')['build']['args']['CADDY_IMAGE'], {})}\n" in proxy
    assert all(f"`{variable}`" in PAGE for variable in ("CADDY_IMAGE", "PROXY_IMAGE"))


@pytest.mark.parametrize("name", ["worker", "dispatcher", "beat"])
def test_workers_are_healthy_while_their_main_loop_goes_round(name: str, tmp_path: Path) -> None:
    kind, command = service(name)["healthcheck"]["test"]
    home = f"{environment_of(name, NEEDED)['TDS_HOME']}/{DIRECTORY}"
    assert (kind, f"{home}/{name} " in command) == ("CMD-SHELL", True)
    here, beating = command.replace(home, str(tmp_path)), tmp_path / name

    def status(age_seconds: float) -> int:
        beating.touch()
        os.utime(beating, (time.time() - age_seconds,) * 2)
        return subprocess.run(["/bin/sh", "-c", here], check=False).returncode

    assert (status(0), status(LONGEST_ROUND_SECONDS - 5), status(LONGEST_ROUND_SECONDS + 5)) == (0, 0, 1)
    beating.unlink()
    assert subprocess.run(["/bin/sh", "-c", here], check=False, stderr=subprocess.DEVNULL).returncode == 1


def test_the_api_is_healthy_while_it_answers() -> None:
    assert "http://127.0.0.1:8800/healthz" in service("api")["healthcheck"]["test"][-1]


@pytest.mark.parametrize(
    ("name", "variable", "program"),
    [
        ("flower", "TDS_FLOWER_PASSWORD", '"$0"'),
        ("grafana", "GF_SECURITY_ADMIN_PASSWORD", "/run.sh"),
        ("proxy", "PROXY_DOMAIN", '"$0"'),
    ],
)
def test_what_needs_a_value_does_not_start_without_it(name: str, variable: str, program: str) -> None:
    shell, option, script = service(name)["entrypoint"]
    assert f"exec {program}" in script.replace("$$", "$")
    here = script.replace("$$", "$").replace(f"exec {program}", "echo started")

    def start(password: str) -> tuple[int, str]:
        environ = {**os.environ, variable: password}
        done = subprocess.run([shell, option, here, "python"], env=environ, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip() + done.stderr.strip()

    assert start("right") == (0, "started")
    code, says = start("")
    assert (code, says.endswith("is not set in .env")) == (1, True)


def test_only_what_starts_workers_goes_by_the_number_to_start() -> None:
    """Workers that other containers start count as well; `tds_core/worker_slots.py` counts those that live."""
    reading = {
        module.name
        for module in modules("tds_core", "tds_tasks", "tds_api", "tds_local", "tds_lab")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == "workers" and "settings" in ast.unparse(node.value)
    }
    assert reading == {"tds_local/programs.py", "tds_api/cli/workers.py", "tds_api/cli/doctor_checks/postgres.py"}
