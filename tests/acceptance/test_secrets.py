"""No secret of a running TDS is ever in a log, an answer, an error or a row: all of them are searched."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil
import pytest
import requests

from tests.acceptance.demo_process import DemoProcess, demo

pytestmark = pytest.mark.acceptance

_SECRET_NAME = re.compile(r"(SECRET|TOKEN|PASSWORD|_KEY)")
# Access tokens come and go; they are known by their look. The stand-in's refresh token is another secret, by its name.
_ACCESS_TOKEN = re.compile(rb"1000\.[0-9a-f]{16,}")
READS = (
    "dashboard/complete", "health/complete", "health", "runs", "queue", "queue/stats", "dead-letter", "entities",
    "entities/product", "zoho/webhooks/recent", "zoho/webhooks/rejected", "zoho/webhooks/health", "zoho/quota",
    "circuit-breakers", "auto-healing/stats", "schedules", "findings", "audit", "keys", "operators", "subscriptions",
    "openapi.json",
)  # fmt: skip


def secrets_of(running: DemoProcess) -> dict[str, bytes]:
    """Every secret the programs of a demo were given, by its name."""
    found = json.loads((running.home / "secrets.json").read_text())
    for process in running.family()[1:]:
        found.update({name: value for name, value in process.environ().items() if name.startswith(("TDS_", "ZOHO_"))})
    secrets = {name: value.encode() for name, value in found.items() if _SECRET_NAME.search(name) and len(value) > 7}
    for name, value in found.items():
        password = urlsplit(value).password if name.endswith("_URL") else None
        if password:
            secrets[f"the password in {name}"] = unquote(password).encode()
    return secrets


def provoke(api: str, token: str, secrets: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """What is answered to reads, to refusals, and to who puts secrets where they do not belong."""
    bearer = {"Authorization": f"Bearer {token}"}
    for path in READS:
        answer = requests.get(f"{api}/{path}", headers=bearer, timeout=30)
        assert answer.status_code in (200, 503), (path, answer.text)
        yield path, answer.content + str(answer.headers).encode()
    webhook_secret = secrets["ZOHO_WEBHOOK_SECRET"].decode()
    for headers, query in (
        ({"X-Zoho-Webhook-Signature": webhook_secret}, ""), ({"Authorization": f"Bearer {token}x"}, ""),
        ({}, f"?secret={webhook_secret}&token={token}"),
    ):  # fmt: skip
        for method, path in (("POST", "zoho/webhooks/product/updated"), ("GET", "keys"), ("POST", "sync/nothing")):
            answer = requests.request(method, f"{api}/{path}{query}", headers=headers, json={}, timeout=30)
            assert answer.status_code >= 400
            yield f"{method} {path}", answer.content + str(answer.headers).encode()


def everything_in(running: DemoProcess) -> Iterator[tuple[str, bytes]]:
    """Every row of every table as text."""
    with running._cursor() as cursor:
        cursor.execute("select format('%I.%I', schemaname, tablename) from pg_tables"
                       " where schemaname in ('public', 'erp')")  # fmt: skip
        for (table,) in cursor.fetchall():
            cursor.execute(f"select string_agg(t::text, e'\\n') from {table} t")
            yield table, (cursor.fetchone()[0] or "").encode()


def logs_of(home: Path) -> Iterator[tuple[str, bytes]]:
    """The logs of TDS's own programs; the stand-in says its token on purpose."""
    for path in sorted((home / "logs").glob("*.log")):
        if path.name != "zoho-stand-in.log":
            yield path.name, path.read_bytes()


def leaks(places: Iterator[tuple[str, bytes]], secrets: Mapping[str, bytes]) -> list[str]:
    """Which secrets are where they must not be."""
    found = []
    for place, said in places:
        found += [f"{name} in {place}" for name, secret in secrets.items() if secret in said]
        found += [f"an access token in {place}"] if _ACCESS_TOKEN.search(said) else []
    return found


def test_no_secret_is_in_a_log_an_answer_or_a_row() -> None:
    with demo("--for", "20", "--rate", "20", "--size", "small") as running:
        running.wait_for_events()
        secrets = secrets_of(running)
        assert {"ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN", "ZOHO_WEBHOOK_SECRET", "TDS_SECRET_KEY", "TDS_API_TOKEN",
                "TDS_FLOWER_PASSWORD", "the password in TDS_DATABASE_URL"} <= secrets.keys()  # fmt: skip
        api = next(process.environ()["TDS_PORT"] for process in running.family()[1:] if "TDS_PORT" in process.environ())
        token = secrets["TDS_API_TOKEN"].decode()
        found = leaks(provoke(f"http://127.0.0.1:{api}/api/tds", token, secrets), secrets)
        for worker in running.workers()[:1]:  # what dies says more than what ends
            psutil.Process(worker.pid).kill()
        running.flush_redis()
        found += leaks(everything_in(running), secrets)
        report = running.report()
        found += leaks(logs_of(running.home), secrets)
        found += leaks(iter([("the report", json.dumps(report).encode())]), secrets)
        assert sum(len(said) for _, said in logs_of(running.home)) > 10_000
    assert found == []
