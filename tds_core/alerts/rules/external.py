"""The rule of alerts that come from a Prometheus and that no other rule of TDS is about."""

from tds_core.alerts.rule import Rule
from tds_models.alerts import AlertSeverity

RULES = (
    Rule(
        name="external",
        title="An alert of Prometheus",
        severity=AlertSeverity.WARNING,
        measure=None,
        threshold=0,
        unit="state",
        cause="What the alert says; its link leads to the rule of Prometheus, or to its runbook.",
        automatic="Nothing: TDS tells of it, and of its end. It is as severe as its label says.",
        command="tds alerts list --rule external",
    ),
)
