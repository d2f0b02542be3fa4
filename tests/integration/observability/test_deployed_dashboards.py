"""What ships for Prometheus and Grafana: rules that hold, dashboards of what there is, each value with a unit."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine

from tests.integration.observability.test_metrics import families, label_names
from tests.support.tools import tool
from tests.support.webhook_sender import Sender, sender_for

DEPLOY = Path(__file__).parents[3] / "deploy"
BOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
METRIC = re.compile(r"\btds_[a-z_]+")
SELECTOR = re.compile(r"\b(tds_[a-z_]+)\{([^}]*)\}")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
OF_PROMETHEUS = {"le", "instance", "job"}


@pytest.fixture
def sender(database: str, engine: Engine, redis_url: str) -> Iterator[Sender]:
    with sender_for(database, engine, TDS_REDIS_URL=redis_url) as sender:
        yield sender


@pytest.fixture
def told(sender: Sender) -> dict[str, set[str]]:
    """Every series /metrics may hold, with its labels."""
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    return {
        family.name + suffix: {*label_names(family), *OF_PROMETHEUS}
        for family in families(sender)
        for suffix in suffixes[family.type]
    }


def board(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in board(path)["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def unknown(expression: str, told: dict[str, set[str]]) -> set[str]:
    """Metrics and labels an expression goes by that TDS does not have."""
    metrics = {name for name in METRIC.findall(expression) if name not in told}
    labels = {
        f"{name}.{label}"
        for name, selector in SELECTOR.findall(expression)
        for label in LABEL.findall(selector)
        if label not in told.get(name, set())
    }
    return metrics | labels


@pytest.fixture
def promtool() -> str:
    return tool("promtool", "Debian: prometheus")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus/prometheus.yml"),
        ("check", "rules", "prometheus/rules.yml"),
        ("test", "rules", "prometheus/rules_test.yml"),
    ],
    ids=" ".join,
)
def test_prometheus_takes_its_files_and_alerts_when_it_should(promtool: str, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([promtool, *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_go_by_what_is_measured_and_say_what_to_do(told: dict[str, set[str]]) -> None:
    assert {rule["expr"]: unknown(rule["expr"], told) for rule in rules() if unknown(rule["expr"], told)} == {}
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len({rule["alert"] for rule in alerts}) == len(alerts) > 15
    for rule in alerts:
        assert rule["labels"]["severity"] in ("warning", "error", "critical"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "mend", "runbook_url"}, rule["alert"]


def test_dashboards_show_what_is_measured(told: dict[str, set[str]]) -> None:
    asked = {
        (path.name, panel["title"]): unknown(target["expr"], told)
        for path in BOARDS
        for panel in panels(path)
        for target in panel["targets"]
    }
    assert {where: what for where, what in asked.items() if what} == {}


def test_every_metric_is_looked_at_by_somebody(told: dict[str, set[str]]) -> None:
    expressions = [rule["expr"] for rule in rules()]
    expressions += [target["expr"] for path in BOARDS for panel in panels(path) for target in panel["targets"]]
    seen = {re.sub(r"_(bucket|sum|count)$", "", name) for each in expressions for name in METRIC.findall(each)}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in told} - seen == set()


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_dashboards_are_in_order(path: Path) -> None:
    everything = board(path)["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    for panel in panels(path):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "tds-prometheus", panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
    areas = [panel["gridPos"] for panel in everything]
    covered = [(x, y) for a in areas for x in range(a["x"], a["x"] + a["w"]) for y in range(a["y"], a["y"] + a["h"])]
    assert len(set(covered)) == len(covered), "panels lie on one another"
    assert max(x for x, _ in covered) < 24


def test_dashboards_have_names_of_their_own_and_a_source_that_is_provisioned() -> None:
    assert len({board(path)["uid"] for path in BOARDS}) == len(BOARDS) == 2
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert [source["uid"] for source in sources] == ["tds-prometheus"]
    [provider] = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/tds.yml").read_text())["providers"]
    services = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())["services"]
    mounted = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    assert mounted["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert services["prometheus"]["volumes"][0] == "./deploy/prometheus:/etc/prometheus:ro"
