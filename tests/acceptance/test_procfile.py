"""The Procfile starts a whole TDS: honcho runs its release and its programs, and a signed webhook becomes a row."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from cryptography.fernet import Fernet

from tds_core.database_urls import without_driver
from tests.house.code import ROOT
from tests.support.api_process import free_port
from tests.support.tools import tool
from tests.support.webhook_sender import PATH, SECRET, signature, wrapped

pytestmark = [pytest.mark.acceptance, pytest.mark.long]


def ask(url: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(without_driver(url))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


def environment(database: str, redis_url: str, home: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
    return {
        **kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PORT": str(port),
        "TDS_DATABASE_URL": database, "TDS_REDIS_URL": redis_url, "TDS_HOME": str(home),
        "TDS_SECRET_KEY": Fernet.generate_key().decode(), "ZOHO_WEBHOOK_SECRET": SECRET,
    }  # fmt: skip


def send(port: int, body: bytes) -> int:
    address = f"http://127.0.0.1:{port}{PATH}"
    headers = {"Content-Type": "application/json", "X-Zoho-Webhook-Signature": signature(body)}
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=10) as answer:
                return int(answer.status)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def test_release_then_programs_then_a_webhook_in_a_row(postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    name = f"tds_procfile_{uuid.uuid4().hex[:8]}"
    ask(postgres_url, f"create database {name}")
    database, port = f"{postgres_url.rpartition('/')[0]}/{name}", free_port()
    environ = environment(database, redis_url, tmp_path, port)
    honcho = [tool("honcho", "PyPI: honcho"), "--procfile", str(ROOT / "Procfile"), "--app-root", str(ROOT), "start"]
    released = subprocess.run([*honcho, "release"], env=environ, capture_output=True, text=True, check=False)
    assert released.returncode == 0, released.stdout
    with (tmp_path / "honcho.log").open("wb") as log:
        running = subprocess.Popen(
            [*honcho, "web", "worker", "dispatcher", "beat"], env=environ, stdout=log, stderr=log
        )
        try:
            assert send(port, wrapped("460000000000888")) == 202
            deadline = time.monotonic() + 90
            while ask(database, "select source_id from erp.product") != [("460000000000888",)]:
                assert running.poll() is None and time.monotonic() < deadline, (tmp_path / "honcho.log").read_text()
                time.sleep(0.5)
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(60)
    ask(postgres_url, f"drop database {name} with (force)")
