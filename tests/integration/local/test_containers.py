"""Containers run what TDS is tested with: that PostgreSQL and its sort order, and a Valkey set up the same."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import redis

from tds_core.database_urls import without_driver
from tds_core.schema.migrations import upgrade
from tds_local.embedded import EmbeddedPostgres, EmbeddedRedis, binaries
from tests.house.code import ROOT
from tests.support.compose_file import NEEDED, environment_of, interpolated, service

PASSWORD = NEEDED["REDIS_PASSWORD"]
#: Where a container differs: its addresses, files and password.
OF_THE_PLACE = {"bind", "port", "dir", "requirepass", "tls-port"}


def version_of(program: Path) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"\d+\.\d+(?:\.\d+)?", said)[0]


def test_containers_have_the_versions_that_are_tested() -> None:
    tested = {"postgres": binaries.postgres_programs() / "postgres", "redis": Path(binaries.redis_program())}
    shipped = {name: interpolated(service(name)["image"], {}).rpartition(":")[2] for name in tested}
    assert shipped == {name: version_of(program) for name, program in tested.items()}


def test_texts_sort_in_containers_as_in_the_tests(server_home: Path) -> None:
    arguments = environment_of("postgres", NEEDED)["POSTGRES_INITDB_ARGS"].split()
    asked = dict(each.removeprefix("--").split("=") for each in arguments)
    with EmbeddedPostgres(server_home / "sorting", durable=False) as server:
        connection = psycopg2.connect(without_driver(server.url))
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "select pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider, datlocale"
                " from pg_database where datname = current_database()"
            )
            [found] = cursor.fetchall()
        connection.close()
    providers = {"builtin": "b", "icu": "i", "libc": "c"}
    assert found == (
        asked["encoding"], asked["locale"], asked["locale"], providers[asked["locale-provider"]],
        asked["builtin-locale"],
    )  # fmt: skip


def test_backups_are_taken_over_what_the_postgres_container_lets_in(server_home: Path, tmp_path: Path) -> None:
    rules = server_home / "pg_hba.conf"
    # From outside, as another container is: on loopback anybody is trusted.
    rules.write_text(re.sub(r"(?m)^host .* trust\n", "", (ROOT / "deploy/postgres/pg_hba.conf").read_text()))
    home, backups = server_home / "backed-up", tmp_path / "backups"
    with EmbeddedPostgres(home) as server, closing(psycopg2.connect(without_driver(server.url))) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"alter system set hba_file = '{rules}'")
    with EmbeddedPostgres(home) as server:
        upgrade(server.url)
        moved = {
            "TDS_HOME": str(tmp_path / "home"), "TDS_DATABASE_URL": server.url, "TDS_BACKUP_URL": server.url,
            "TDS_BACKUP_DIRECTORY": str(backups),
        }  # fmt: skip
        program, *arguments = service("backup")["command"]
        environ = {"PATH": os.environ["PATH"], **environment_of("backup", NEEDED), **moved}
        command = [sys.executable, "-m", {"tds": "tds_api.cli"}[program], *arguments]
        kind, check = service("backup")["healthcheck"]["test"]
        with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE) as loop:
            try:
                deadline = time.monotonic() + 60
                while not list(backups.glob("base/*/backup.json")):
                    assert loop.poll() is None, loop.communicate()
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                assert subprocess.run(["/bin/sh", "-c", check], check=False).returncode == 0
            finally:
                loop.terminate()
    assert loop.returncode == 0
    assert (kind, subprocess.run(["/bin/sh", "-c", check], check=False).returncode) == ("CMD-SHELL", 1)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[int]:
    """The port of a Valkey started by the container's own command, with its places moved here."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    shell, option, script = service("redis")["command"]
    for place in ("run", "data"):
        (tmp_path / place).mkdir()
    here = interpolated(script, {}).replace("/run/valkey", str(tmp_path / "run"))
    here = here.replace("--dir /data", f"--dir {tmp_path / 'data'} --bind 127.0.0.1 --port {port}")
    here = here.replace("exec valkey-server", f"exec {binaries.redis_program()}")
    environ = {**os.environ, **environment_of("redis", NEEDED)}
    process = subprocess.Popen([shell, option, here], env=environ, stdout=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield port
    finally:
        process.terminate()
        assert process.wait(15) == 0
    assert (tmp_path / "run/password.conf").stat().st_mode & 0o777 == 0o600


def wait_for_port(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("it does not listen")


def test_the_container_runs_valkey_as_tds_up_does(valkey: int, tmp_path: Path) -> None:
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=valkey).ping()
    with EmbeddedRedis(tmp_path / "embedded", durable=True) as server:
        of_tds_up = redis.Redis.from_url(server.url, decode_responses=True).config_get("*")
    in_container = redis.Redis(port=valkey, password=PASSWORD, decode_responses=True).config_get("*")
    differing = {name for name in of_tds_up if of_tds_up[name] != in_container.get(name)}
    assert differing - OF_THE_PLACE == set()
