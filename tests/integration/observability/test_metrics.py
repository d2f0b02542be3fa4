"""What /metrics says: documented to the last label, of bounded size whatever is sent, and as Prometheus likes it."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
from prometheus_client import Metric
from prometheus_client.registry import REGISTRY
from sqlalchemy import Engine, text

from tds_api.probes_and_metrics import metrics_registry
from tds_core.alerts.rules import RULES
from tds_core.breakers.circuit import CircuitState as BreakerState
from tds_core.breakers.circuit import Thresholds
from tds_core.breakers.registry import Breakers
from tds_core.dead_letters import burial
from tds_core.errors import QuotaError, TransientError
from tds_core.healing.action_log import HealingOutcome as DeedOutcome
from tds_core.health.health import HealthState
from tds_core.observability import heartbeats
from tds_core.observability.query_classes import PARTS
from tds_core.records.compare import RowOutcome
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.api_request import ApiCall
from tds_core.sources.zoho.client import ZohoClient
from tds_core.sources.zoho.quota.governor import open_governor
from tds_models.alerts import AlertDeliveryState, AlertState
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tds_models.runs import Mode
from tds_tasks import celeryconfig
from tests.support.alertmanager import alert_of_prometheus, notification
from tests.support.tools import tool
from tests.support.webhook_sender import Sender, sender_for, wrapped

ROOT = Path(__file__).parents[3]
CODE = r"[a-z_]{3,40}|[A-Z]\w{2,40}"  # of an error: ours, or the name of a Python class
ONE_OF_OURS = "|".join(ENTITIES)
# What a label may say, whatever arrives.
BOUNDS = {
    "entity": ONE_OF_OURS + "|",
    "api": "books|inventory|all",
    "path": "|".join(sorted({each.stream.path for each in ENTITIES.values()})) + r"|settings/\w+",
    "traffic": "|".join(Traffic),
    "status": r"none|[2-5]\d\d|\dxx",
    "state": "|".join(
        [*HealthState, *BreakerState, "due", "waiting", "leased", "listening", "silent", "deaf", "missing"]
    )
    + "|live|deleted|unconfirmed|"
    + "|".join([*AlertState, *AlertDeliveryState]),
    "rule": "|".join(rule.name for rule in RULES),
    "channel": "desk",
    "outcome": "|".join([*RowOutcome, *DeedOutcome, "retry", "snooze", "dead", "overtaken", "to_read", "invalid"]),
    "mode": "|".join([*Mode, "webhook"]),
    "error": CODE,
    "code": CODE,
    "result": "accepted|duplicate|quarantined|refused|unavailable|overloaded|cached|asked|sent|failed|delivered|away",
    "breaker": r"database|zoho\.token|zoho\.(books|inventory)\.\w+",
    "action": CODE,
    "kind": CODE,
    "severity": "info|warning|error|critical",
    "component": r"[a-z ]{3,20}",
    "queue": "|".join(f"tds.{name}" for name in celeryconfig.QUEUES),
    "job": "|".join(celeryconfig.TIMETABLE),
    "pulse": "dispatcher|beat",
    "window": "1h|24h",
    "pool": "api|intake|worker|dispatcher|healing",
    "operation": "request|batch|page|source_call|statement",
    "route": r"[a-z0-9 _-]+(\.[a-z0-9_-]+)?",
    "verb": "select|insert|update|delete|other",
    "part": "mirror|" + "|".join({part for _, part in PARTS}),
    "program": r"other|(api|worker|dispatcher|beat|flower|test)(-\d+)?",
    "le": r"[\d.e+-]+|\+Inf",
}


@pytest.fixture
def sender(database: str, engine: Engine, redis_url: str) -> Iterator[Sender]:
    with sender_for(database, engine, TDS_REDIS_URL=redis_url) as sender:
        yield sender


def families(sender: Sender) -> list[Metric]:
    context = sender.app.extensions["tds"]
    found = metrics_registry(context, open_governor(context.settings)).collect()
    return sorted((each for each in found if each.name.startswith("tds_")), key=lambda each: each.name)


def label_names(family: Any) -> list[str]:
    """The labels a family is declared with, whether or not something was counted."""
    if hasattr(family, "_labelnames"):
        return list(family._labelnames)
    return list(REGISTRY._names_to_collectors[family.name]._labelnames)  # type: ignore[attr-defined]


def row(family: Metric) -> str:
    name = family.name + ("_total" if family.type == "counter" else "")
    labels = ", ".join(f"`{each}`" for each in label_names(family))
    return f"| `{name}` | {family.type} | {labels} | {family.documentation} |"


def test_every_metric_is_in_the_reference_as_it_is_and_no_other(sender: Sender) -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    told = [line for line in page.splitlines() if line.startswith("| `tds_")]
    assert told == [row(family) for family in families(sender)]


def hostile(sender: Sender) -> None:
    """Deliver what would make a label of every request, if anything did."""
    for number in range(30):
        sender.send(wrapped(str(number), name=f"name {number}"), headers={"X-Correlation-Id": f"c-{number}"})
        sender.send(b"{}", path=f"/api/tds/zoho/webhooks/thing{number}/changed{number}")
        sender.send(b'{"item": {}}', query=f"entity=made-up-{number}&event=e{number}")
        sender.send(wrapped(str(number)), secret=f"wrong-secret-{number}")
        sender.app.test_client().get(f"/api/tds/entities/product/{number}")
    made_up = [alert_of_prometheus(f"Alert{number}", severity=f"s{number}", pod=f"p{number}") for number in range(30)]
    sender.post("/api/tds/alerts/prometheus", notification(*made_up))
    with session_scope(sender.engine) as session:
        errors = [TransientError("slow"), QuotaError("none left", after_seconds=1), ValueError("a bug")]
        letters = [
            {
                "source_id": str(number), "error_class": dead_letters_class(error), "error": f"id {number}",
                "attempts": 1, "priority": 5, "correlation_id": f"c-{number}", "generation": 1,
            }
            for number, error in enumerate(errors * 10)
        ]  # fmt: skip
        burial.bury(session, source="zoho", entity="product", letters=letters)


def dead_letters_class(error: Exception) -> str:
    return getattr(error, "code", type(error).__name__)


class _Tokens:
    def current(self) -> tuple[str, str]:
        return "token", "https://zoho.invalid"

    def renew(self, refused: str) -> tuple[str, str]:
        return self.current()

    def is_new(self, token: str) -> bool:
        return True


def ask_for_many(statuses: range) -> None:
    never = Thresholds(failures=10**6, least_calls=10**6)
    client = ZohoClient(_Tokens(), organization_id="1", breakers=Breakers(thresholds=never))
    with responses.RequestsMock(assert_all_requests_are_fired=False) as zoho:
        for status in statuses:
            path = f"items/{status}"
            zoho.get(f"https://zoho.invalid/inventory/v1/{path}", json={"code": 0, "message": "x"}, status=status)
            try:
                client.ask(ApiCall("inventory", "items", path, {"search": f"secret {status}"}, Traffic.LIVE))
            except (requests.RequestException, Exception):  # noqa: S112  (what it means is others' business)
                continue


def test_labels_take_few_values_whatever_arrives(sender: Sender) -> None:
    for _ in range(2):  # the second time all of it is a duplicate
        hostile(sender)
        ask_for_many(range(200, 600, 7))
    found = families(sender)
    beyond = {
        (family.name, label, value)
        for family in found
        for sample in family.samples
        for label, value in sample.labels.items()
        if not re.fullmatch(BOUNDS[label], value)
    }
    assert beyond == set()
    # Whoever delivers more of it adds nothing.
    before = sum(len(family.samples) for family in found)
    hostile(sender)
    ask_for_many(range(200, 600, 7))
    assert sum(len(family.samples) for family in families(sender)) == before


def test_names_and_types_are_as_prometheus_wants_them(sender: Sender) -> None:
    promtool = tool("promtool", "Debian: prometheus")
    page = "\n".join(line for line in sender.get("/metrics").text.splitlines() if "tds_" in line) + "\n"
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_alerts_and_their_messages_are_counted(sender: Sender) -> None:
    sender.post("/api/tds/alerts/prometheus", notification(*(alert_of_prometheus(name) for name in ("A", "B"))))
    with session_scope(sender.engine) as session:
        session.execute(
            text("""
            insert into tds_alert_channels (name, kind, locked, masked, created_by)
            values ('desk', 'webhook', '', '', 'ann')""")
        )
        session.execute(
            text("""
            insert into tds_alert_deliveries (alert_id, episode, channel_id, kind, state, created_at)
            select a.id, 1, c.id, 'firing', 'sent', now() - interval '1 hour' * 20 * a.id
            from tds_alerts a, tds_alert_channels c""")
        )
        heartbeats.beat(session, "alerts")
    found = {family.name: family.samples for family in families(sender)}
    [firing] = found["tds_alerts"]
    assert (firing.labels, firing.value) == ({"rule": "external", "severity": "warning", "state": "firing"}, 2)
    [sent] = found["tds_alert_deliveries"]
    assert (sent.labels, sent.value) == ({"channel": "desk", "state": "sent"}, 1)
    [age] = found["tds_alert_evaluation_age_seconds"]
    assert 0 <= age.value < 60
