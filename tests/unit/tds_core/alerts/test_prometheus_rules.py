"""The rules file of Prometheus is the catalogue: what ships is what the catalogue says."""

from pathlib import Path

import pytest
import yaml

from tds_core.alerts.external_alerts import EXTERNAL_RULE
from tds_core.alerts.prometheus_rules import alert_name, rules_file
from tds_core.alerts.rule import Rule
from tds_core.alerts.rules import RULES

ROOT = Path(__file__).parents[4]
EXPRESSED = [rule for rule in RULES if rule.expression]


def alerts() -> dict[str, dict[str, object]]:
    groups = yaml.safe_load(rules_file(RULES))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def test_the_file_that_ships_is_what_the_catalogue_makes() -> None:
    shipped = (ROOT / "deploy/prometheus/rules.yml").read_text()
    assert shipped == rules_file(RULES), "make it anew: tds alerts rules --prometheus > deploy/prometheus/rules.yml"


def test_every_rule_a_metric_shows_is_in_it_and_no_other() -> None:
    assert list(alerts()) == [alert_name(rule) for rule in EXPRESSED]


@pytest.mark.parametrize("rule", EXPRESSED, ids=lambda rule: rule.name)
def test_an_alert_has_the_terms_and_words_of_its_rule(rule: Rule) -> None:
    alert = alerts()[alert_name(rule)]
    assert alert["labels"] == {"severity": rule.severity.value, "rule": rule.name}
    assert alert.get("for") == (f"{rule.for_seconds}s" if rule.for_seconds else None)
    annotations = alert["annotations"]
    assert isinstance(annotations, dict)
    assert annotations["summary"].startswith(rule.title)
    assert annotations["mend"] == rule.command
    expression = " ".join(rule.expression.replace("{threshold}", f"{rule.threshold:.10g}").split())
    assert alert["expr"] == expression


def test_rules_that_only_prometheus_sees_have_an_expression() -> None:
    assert [rule.name for rule in RULES if not rule.measure and not rule.expression] == [EXTERNAL_RULE]
