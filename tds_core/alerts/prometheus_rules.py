"""Prometheus rules: the catalogue as the file Prometheus reads, for those who have one."""

import re
from collections.abc import Iterator, Sequence

from tds_core.alerts.rule import Rule

RUNBOOK = "docs/runbooks/{name}.md"

_HEAD = """\
# The alert rules of TDS, as far as metrics show them. Made by: tds alerts rules --prometheus
# Gauges from the tables say the same on every API process, hence max, not sum.
groups:
  - name: tds-records
    rules:
      - record: tds:sync_failures:ratio_10m
        expr: >-
          sum(rate(tds_sync_outcomes_total{outcome=~"retry|dead"}[10m]))
          / (sum(rate(tds_sync_outcomes_total[10m])) > 0)
      - record: tds:freshness_within_10s:ratio_1h
        expr: >-
          sum(rate(tds_freshness_seconds_bucket{le="10.0"}[1h]))
          / (sum(rate(tds_freshness_seconds_count[1h])) > 0)
      - record: tds:freshness_within_10s:ratio_5m
        expr: >-
          sum(rate(tds_freshness_seconds_bucket{le="10.0"}[5m]))
          / (sum(rate(tds_freshness_seconds_count[5m])) > 0)

  - name: tds-alerts
    rules:
"""
_BY = re.compile(r"\bby \((\w+)\)")
_SHOWN = {
    "ratio": "{{ $value | humanizePercentage }}",
    "seconds": "{{ $value | humanizeDuration }}",
    "hours": '{{ $value | printf "%.1f" }} hours',
}
_LONGEST = 96


def rules_file(rules: Sequence[Rule]) -> str:
    """The rules file for Prometheus: recording rules, and an alert for each rule that a metric shows."""
    return _HEAD + "".join("\n".join(_alert(rule)) + "\n" for rule in rules if rule.expression)


def alert_name(rule: Rule) -> str:
    """The name of a rule's alert in Prometheus."""
    return "Tds" + rule.name.title().replace("_", "")


def _alert(rule: Rule) -> Iterator[str]:
    yield f"      - alert: {alert_name(rule)}"
    expression = rule.expression.replace("{threshold}", f"{rule.threshold:.10g}")
    lines = list(_wrapped(expression.split()))
    yield "        expr: >-"
    yield from (f"          {line}" for line in lines)
    if rule.for_seconds:
        yield f"        for: {rule.for_seconds}s"
    yield f"        labels: {{severity: {rule.severity.value}, rule: {rule.name}}}"
    yield "        annotations:"
    yield f"          summary: {_quoted(_summary(rule))}"
    yield f"          mend: {_quoted(rule.command)}"
    yield f"          runbook_url: {RUNBOOK.format(name=rule.name)}"


def _wrapped(words: Sequence[str]) -> Iterator[str]:
    """The words in lines that are not too long."""
    line = ""
    for word in words:
        if line and len(line) + len(word) >= _LONGEST:
            yield line
            line = ""
        line = f"{line} {word}" if line else word
    yield line


def _summary(rule: Rule) -> str:
    """The title, what it is about, and the value where the expression has it in the rule's unit."""
    label = _BY.search(rule.expression)
    about = f" ({{{{ $labels.{label[1]} }}}})" if label else ""
    if "{threshold}" not in rule.expression or rule.unit == "state":
        return rule.title + about
    return f"{rule.title}{about}: " + _SHOWN.get(rule.unit, f'{{{{ $value | printf "%.0f" }}}} {rule.unit}')


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
