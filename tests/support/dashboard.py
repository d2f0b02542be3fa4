"""A dashboard with something on every page: a small organisation, with faults, alerts and decisions to take."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import Engine
from werkzeug.exceptions import NotFound
from werkzeug.routing import MapAdapter
from werkzeug.serving import make_server
from werkzeug.test import Client, TestResponse

from tds_core.auth import operators
from tds_core.auth.sessions import Lifetime, log_in
from tds_core.schedule import job_store
from tds_core.validation import stored_reports
from tds_models.auth import Role
from tds_models.db import make_engine, session_scope
from tds_tasks import celeryconfig, validation
from tests.support.alertmanager import alert_of_prometheus, notification
from tests.support.comparing import compare, load_all
from tests.support.standin import StandIn, serving
from tests.support.webhook_sender import TOKEN, sender_for
from tests.support.world import World, delivery, opened

PASSWORD = "correct horse battery"
#: Text that some page of some program has run, followed or been turned round by.
HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>\"'>{{7*7}}"
    '=HYPERLINK("http://evil.example")\u202egnp.exe'
)
FORMULA = '=cmd|"/c calc"!A1'


@dataclass
class Dashboard:
    """The application, and where it answers."""

    app: Flask
    url: str
    engine: Engine

    def client(self, role: Role) -> Client:
        """A client logged in as an operator of this role; the cookie is set as the browser would."""
        client = self.app.test_client()
        client.set_cookie("tds_session", self.token(role), domain="localhost")
        return client

    def token(self, role: Role) -> str:
        """A new session of the operator of this role."""
        begun = log_in(
            lambda: session_scope(self.engine), name=f"{role}-of-test", password=PASSWORD,
            lifetime=Lifetime(3600, 3600), address=None,
        )  # fmt: skip
        return begun.token

    def get(self, path: str, role: Role = Role.VIEWER, **query: Any) -> TestResponse:
        """GET a page."""
        return self.client(role).get(path, query_string=query or None)


class _Forms(HTMLParser):
    """The links and the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.actions: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and (given.get("href") or "").startswith("/dashboard"):
            self.links.append(str(given["href"]))
        if tag == "form" and given.get("method") == "post":
            self.actions.add(str(given["action"]))


def crawled(dashboard: Dashboard, role: Role) -> tuple[dict[str, str], set[str]]:
    """One page of each rule that links lead to, by its address; and the addresses all their forms are posted to."""
    client, adapter = dashboard.client(role), dashboard.app.url_map.bind("localhost")
    pages: dict[str, str] = {}
    seen: set[str] = set()
    actions: set[str] = set()
    waiting = ["/dashboard"]
    while waiting:
        path = waiting.pop(0)
        endpoint = _endpoint(adapter, path)
        if endpoint in seen or "/assets/" in path or "/preferences" in path:
            continue
        seen.add(endpoint)
        pages[path] = client.get(path, headers={"Accept": "text/html"}).get_data(as_text=True)
        forms = _Forms()
        forms.feed(pages[path])
        actions |= forms.actions
        waiting += [link for link in forms.links if "format=" not in link]
    return pages, actions


def _endpoint(adapter: MapAdapter, path: str) -> str:
    try:
        return str(adapter.match(path.partition("?")[0])[0])
    except NotFound:
        return f"nothing at {path}"


@contextmanager
def dashboard_for(database: str, engine: Engine, **environ: str) -> Iterator[Dashboard]:
    """The dashboard of `database`, with an operator of each role, served until the block ends."""
    with session_scope(engine) as session:
        for role in Role:
            operators.create_operator(session, name=f"{role}-of-test", role=role, by="test", password=PASSWORD)
    params = {"TDS_SECRET_KEY": Fernet.generate_key().decode(), "TDS_REQUESTS_PER_MINUTE": "0",
              "TDS_ADDRESS_REQUESTS_PER_MINUTE": "0", **environ}  # fmt: skip
    with sender_for(database, engine, **params) as sender:
        server = make_server("127.0.0.1", 0, sender.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield Dashboard(sender.app, f"http://127.0.0.1:{server.server_port}", engine)
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def populated_dashboard(database: str, home: Path) -> Iterator[Dashboard]:
    """A dashboard of `database` with something on every page; for all tests of a module."""
    engine = make_engine(database, pool_size=10)
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        serving() as standin,
        opened(
            monkeypatch, engine, database, str(home), {**standin.settings, "TDS_COMPARISON_SETTLE_SECONDS": "0"}
        ) as world,
    ):
        populate(world, standin)
        with dashboard_for(database, engine, **standin.settings, **_ALLOWED) as dashboard:
            _populate_by_routes(dashboard)
            yield dashboard
    engine.dispose()


def populate(world: World, standin: StandIn) -> None:
    """Bring the organisation over, and let there be something of every kind to see."""
    for plural, field in (("items", "name"), ("contacts", "contact_name")):
        standin.edit(plural, standin.ids(plural)[0], **{field: HOSTILE})
    standin.edit("items", standin.ids("items")[1], name=FORMULA)
    with session_scope(world.engine) as session:
        job_store.seed(session, celeryconfig.TIMETABLE)
    load_all(world)
    _dead_letters(world)
    world.execute("update erp.product set price = price + 1 where source_id = :id", id=standin.ids("items")[-1])
    compare(world)
    _old_tables(world)
    world.deliver(delivery("product", standin.detail("items", standin.ids("items")[0])))
    with session_scope(world.engine) as session:
        stored_reports.request(session, "product", requested_by="test")
    validation.advance_reports(slice_seconds=60)


#: Receivers that nothing is ever sent to: these tests run no dispatcher.
_ALLOWED = {"TDS_OUTBOUND_ALLOW": "127.0.0.1/32", "TDS_OUTBOUND_PORTS": "9", "TDS_OUTBOUND_HTTP": "yes"}
_RECEIVER = "http://127.0.0.1:9/hook"


def _populate_by_routes(dashboard: Dashboard) -> None:
    """What people and other programs make: an alert, a channel, a subscription, a retry of many."""
    client, headers = dashboard.app.test_client(), {"Authorization": f"Bearer {TOKEN}"}
    for path, body in (
        ("alerts/prometheus", notification(alert_of_prometheus("DiskFull", severity="critical", device="sda"))),
        ("alert-channels", {"name": "desk", "address": _RECEIVER}),
        ("subscriptions", {"name": "shop", "url": _RECEIVER}),
        ("dead-letter/retry", {"entity": "invoice"}),
    ):
        answer = client.post(f"/api/tds/{path}", json=body, headers=headers)
        assert answer.status_code < 300, (path, answer.text)


def _old_tables(world: World) -> None:
    """Ten days beside an old sync: products not ready, customers ready; a comparison that was broken off."""
    world.execute("""
        insert into tds_cutover_days (day, entity, mapping_digest, requested_by, ended_at, old_count, here_count,
            equal_count, different_count, duplicate_count, old_wrong_count, tds_wrong_count, not_asked_count,
            field_counts)
        select current_date - n, entity, 'x', 'cron', case when n = 4 and entity = 'product' then null else now() end,
               1045 + n, 1045, 1030, 15, n, 14, case when n = 9 then 1 else 0 end,
               case when n = 0 and entity = 'product' then 3 else 0 end, '{"price": 12, "name": 3, "stock_on_hand": 1}'
        from generate_series(0, 9) n, unnest(array['product', 'customer']) entity order by n desc, entity""")


def _dead_letters(world: World) -> None:
    world.execute(
        """
        insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts,
                                           priority, correlation_id)
        select 'zoho', 'product', (460000000000000 + n)::text, 'transient', 'HTTP 503: the server is busy',
               'transient:product:HTTP _', 8, 5, 'corr-' || n
        from generate_series(1, 12) n
        union all
        select 'zoho', 'invoice', '460000000009999', 'permanent', 'HTTP 400 ' || cast(:hostile as text),
               'permanent:invoice:HTTP _', 1, 5, 'corr-0'
        """,
        hostile=HOSTILE,
    )
