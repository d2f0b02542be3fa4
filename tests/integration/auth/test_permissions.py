"""Every route: who may call it, that it says so, and that everybody else is told no."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tds_api.auth.permissions import ANYBODY, ITSELF, declared_permission
from tds_api.webhooks.endpoint import METHODS
from tds_core.auth import api_keys
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.webhook_sender import Sender, sender_for

DESCRIPTION = ("api-docs.openapi_json", "api-docs.openapi_swagger_ui")  # it does not describe itself
CHANGING = ("POST", "PUT", "PATCH", "DELETE")


@dataclass
class Asker:
    """One client with one key, or none."""

    client: FlaskClient
    key: str = ""

    def ask(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return self.client.open(path, method=method, headers=headers, **more)


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    unlimited = {"TDS_REQUESTS_PER_MINUTE": "0", "TDS_ADDRESS_REQUESTS_PER_MINUTE": "0"}
    with sender_for(database, engine, **unlimited) as sender:
        yield sender


@pytest.fixture
def askers(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> dict[str, Asker]:
    """Nobody, and one with each role."""
    monkeypatch.setattr("tds_api.auth.middleware.REFUSED_PER_MINUTE", 10_000)
    found = {"nobody": Asker(sender.app.test_client())}
    with session_scope(sender.engine) as session:
        for role in Role:
            _, key = api_keys.create_key(session, name=role.value, role=role, by="test")
            found[role.value] = Asker(sender.app.test_client(), key)
    return found


def routes(app: Flask) -> list[tuple[str, Rule, str]]:
    return [
        (method, rule, rule.endpoint)
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def is_page(rule: Rule) -> bool:
    return rule.rule == "/" or rule.rule.startswith("/dashboard")


def filled(rule: Rule) -> str:
    path = rule.rule
    for name in rule.arguments:
        for spelled, value in ((f"<int:{name}>", "1"), (f"<path:{name}>", "pages.css"), (f"<{name}>", "product")):
            path = path.replace(spelled, value)
    return path


def test_every_route_names_its_permission(sender: Sender) -> None:
    unnamed = [
        rule.rule for _, rule, endpoint in routes(sender.app) if declared_permission(sender.app, endpoint) is None
    ]
    assert unnamed == [], "put @needs(Role...) under the route's line"


def test_what_is_open_to_anybody_is_only_this(sender: Sender) -> None:
    free = {
        f"{method} {rule.rule}"
        for method, rule, endpoint in routes(sender.app)
        if declared_permission(sender.app, endpoint) in (ANYBODY, ITSELF)
    }
    assert free == {
        "GET /healthz", "GET /readyz", "GET /metrics", "GET /api/tds/health", "GET /api/tds/login",
        "POST /api/tds/login", "GET /api/tds/static/<path:filename>", "POST /api/tds/session",
        "GET /", "GET /dashboard/assets/<digest>/<path:name>", "GET /dashboard/preferences",
        "POST /dashboard/do/<any(POST, PUT, PATCH, DELETE):method>/<path:path>",  # the route it calls checks
        "GET /api/tds/zoho/oauth/start", "POST /api/tds/zoho/oauth/start", "GET /api/tds/zoho/oauth/callback",
        *(f"{method} /api/tds/zoho/webhooks{names}" for method in METHODS for names in ("", "/<entity>/<event>")),
        *(  # they only lead to routes that check
            f"{method} {former}{rest}" for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
            for former in ("/api/bff/tds", "/api/bff/tds/webhooks", "/api/tds/webhooks")
            for rest in ("", "/<path:path>")
        ),
    }  # fmt: skip


def test_every_route_answers_by_role(sender: Sender, askers: dict[str, Asker]) -> None:
    wrong = []
    for method, rule, endpoint in routes(sender.app):
        needed = declared_permission(sender.app, endpoint)
        if not isinstance(needed, Role):
            continue
        for name, asker in askers.items():
            answer = asker.ask(method, filled(rule), json={} if method in CHANGING else None)
            role = Role(name) if name != "nobody" else None
            expected = 401 if role is None else 403 if not role.covers(needed) else None
            if role is not None and is_page(rule):
                continue  # it shows what its routes refuse; tests of pages look at that
            is_right = answer.status_code == expected if expected else answer.status_code not in (401, 403)
            if answer.status_code >= 500:  # nothing is connected here, and those who would need it say so
                is_right = is_right and (answer.status_code, answer.json["code"]) == (503, "configuration_error")
            if not is_right:
                wrong.append((method, rule.rule, name, answer.status_code))
    assert wrong == []


def test_every_route_of_the_api_is_described_with_its_refusals(sender: Sender) -> None:
    described = sender.get("/api/tds/openapi.json").json["paths"]
    wrong = []
    for method, rule, endpoint in routes(sender.app):
        needed = declared_permission(sender.app, endpoint)
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        if isinstance(needed, Role) and endpoint not in DESCRIPTION and not is_page(rule):
            operation = described.get(path, {}).get(method.lower(), {})
            told = {"401", "403", "429"} | ({"409", "422"} if method in CHANGING else set())
            if operation.get("x-permission") != needed.value or not told <= set(operation["responses"]):
                wrong.append((method, path, operation))
    assert wrong == []


def test_a_refused_change_changes_nothing(sender: Sender, askers: dict[str, Asker]) -> None:
    for name in ("nobody", "viewer"):
        askers[name].ask("POST", "/api/tds/sync/product", json={"mode": "full"})
        askers[name].ask("POST", "/api/tds/keys", json={"name": "x", "role": "admin"})
    assert (sender.count("tds_sync_runs"), sender.count("tds_api_keys"), sender.nudged) == (0, 3, [])
