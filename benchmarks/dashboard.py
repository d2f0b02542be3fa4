"""Every page of the dashboard with years behind it: the server's time (median, 95th percentile), and its weight."""

import argparse
import gzip
import json
import re
import secrets
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import NotFound

from benchmarks.list_endpoints import filled
from benchmarks.seed import Size
from tds_api.app import create_app
from tds_api.auth.authentication import SESSION_COOKIE
from tds_core.auth import operators
from tds_core.auth.sessions import Lifetime, log_in
from tds_core.config.settings import load_settings
from tds_core.schedule import job_store
from tds_models.auth import Role
from tds_models.db import make_engine, session_scope
from tds_tasks import celeryconfig

AIM_MS, LARGE = 300, Size(events=10_000_000, changes=2_000_000, records=1_000_000)
_HTML, _POLL = {"Accept": "text/html"}, {"Accept": "text/html", "HX-Request": "true"}
_LINK = re.compile(r'href="(/dashboard[^"]*)"')
_ASSET = re.compile(r'(?:href|src)="(/dashboard/assets/[^"]+)"')


@dataclass(frozen=True, slots=True)
class PageFigures:
    """One page: milliseconds to the whole of it; bytes of the first load with assets, of a poll, and of the next."""

    path: str
    status: int
    median_ms: float
    p95_ms: float
    first_bytes: int
    poll_bytes: int
    unchanged_bytes: int
    #: Parts that were stopped at the limit of a statement and said so.
    stopped_count: int


def measure(size: Size | None = None, *, rounds: int = 20) -> list[PageFigures]:
    """The figures of every page that links lead to, over a database of `size`; the large one by default."""
    with filled(size or LARGE) as (url, _):
        return measure_database(url, rounds=rounds)


def measure_database(url: str, *, rounds: int) -> list[PageFigures]:
    """The figures over a database that `python -m benchmarks.seed` has filled."""
    app = create_app(load_settings(_settings(url)), nudge=lambda _: None)
    try:
        client = _client(app, url)
        return [_figures(client, path, rounds) for path in _pages(app, client)]
    finally:
        app.extensions["tds"].close()


def _settings(url: str) -> dict[str, str]:
    return {
        "TDS_DATABASE_URL": url,
        "TDS_SECRET_KEY": Fernet.generate_key().decode(),
        "TDS_REQUESTS_PER_MINUTE": "0",
        "TDS_ADDRESS_REQUESTS_PER_MINUTE": "0",
    }


def _client(app: Flask, url: str) -> FlaskClient:
    """A client with the session of an administrator, who sees every page."""
    engine = make_engine(url, pool_size=1)
    name, password = f"reader-{secrets.token_hex(4)}", Fernet.generate_key().decode()
    with session_scope(engine) as session:
        job_store.seed(session, celeryconfig.TIMETABLE)
        operators.create_operator(session, name=name, role=Role.ADMIN, by="benchmark", password=password)
    begun = log_in(
        lambda: session_scope(engine), name=name, password=password, lifetime=Lifetime(9e4, 9e4), address=None
    )
    engine.dispose()
    client = app.test_client()
    client.set_cookie(SESSION_COOKIE, begun.token, domain="localhost")
    return client


def _pages(app: Flask, client: FlaskClient) -> Iterator[str]:
    """One page of each rule, as links lead to them."""
    adapter, seen, waiting = app.url_map.bind("localhost"), set(), ["/dashboard"]
    while waiting:
        path = waiting.pop(0).replace("&amp;", "&")
        try:
            endpoint = adapter.match(path.partition("?")[0])[0]
        except NotFound:
            continue
        if endpoint in seen or "/assets/" in path or "/preferences" in path or "format=" in path:
            continue
        seen.add(endpoint)
        yield path
        waiting += _LINK.findall(client.get(path, headers=_HTML).get_data(as_text=True))


def _figures(client: FlaskClient, path: str, rounds: int) -> PageFigures:
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        answer = client.get(path, headers=_HTML)
        took.append((time.perf_counter() - began) * 1000)
    page = answer.get_data(as_text=True)
    poll = client.get(path, headers=_POLL)
    again = client.get(path, headers={**_POLL, "If-None-Match": poll.headers.get("ETag", "")})
    assets = sum(len(gzip.compress(client.get(each).get_data(), 9)) for each in set(_ASSET.findall(page)))
    return PageFigures(
        path=path,
        status=answer.status_code,
        median_ms=round(statistics.median(took), 1),
        p95_ms=round(sorted(took)[max(0, int(len(took) * 0.95) - 1)], 1),
        first_bytes=len(page.encode()) + assets,
        poll_bytes=len(poll.get_data()),
        unchanged_bytes=len(again.get_data()),
        stopped_count=page.count("took longer than 2 s"),
    )


def main() -> None:
    """Print the figures, the slowest first."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--share", type=float, default=1.0, help="of the large size; 1")
    parser.add_argument("--rounds", type=int, default=20, help="times each page is asked for")
    parser.add_argument("--database", help="the address of one that `python -m benchmarks.seed` has filled")
    chosen = parser.parse_args()
    size = Size(*(max(1, int(getattr(LARGE, name) * chosen.share)) for name in Size.__dataclass_fields__))
    rounds = chosen.rounds
    found = measure_database(chosen.database, rounds=rounds) if chosen.database else measure(size, rounds=rounds)
    if chosen.json:
        print(json.dumps([asdict(each) for each in found]))
        return
    for each in sorted(found, key=lambda each: -each.p95_ms):
        over = "   over the aim" if each.p95_ms > AIM_MS else ""
        over += "" if each.status == 200 else f"   answered {each.status}"
        print(
            f"{each.p95_ms:8.1f} ms p95 {each.median_ms:8.1f} ms median {each.first_bytes / 1000:7.1f} kB first"
            f" {each.poll_bytes / 1000:6.1f} kB poll {each.stopped_count} stopped  {each.path}{over}"
        )


if __name__ == "__main__":
    main()
