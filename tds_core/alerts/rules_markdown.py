"""The table of rules: the catalogue as Markdown, for the documents."""

from collections.abc import Sequence

from tds_core.alerts.rule import Rule
from tds_core.alerts.text_formatting import span

#: What the evaluation notices when it fails itself.
_NOTICED = ("database_lost",)
_HEAD = """\
| rule | severity | fires | what usually is behind it | what TDS does by itself | what to do |
|---|---|---|---|---|---|
"""


def markdown_table(rules: Sequence[Rule]) -> str:
    """A row for each rule, with a link to its runbook."""
    return _HEAD + "".join(_row(rule) for rule in rules)


def _row(rule: Rule) -> str:
    name = f"[`{rule.name}`](runbooks/{rule.name}.md): {rule.title}"
    cells = (name, rule.severity.value, _condition(rule), rule.cause, rule.automatic, f"`{rule.command}`")
    return f"| {' | '.join(cells)} |\n"


def _condition(rule: Rule) -> str:
    """When a rule fires, in words."""
    lasting = f"for {span(rule.for_seconds)}" if rule.for_seconds else "at once"
    where = "" if rule.measure or rule.name in _NOTICED else " (in Prometheus alone)"
    if rule.unit == "state":
        return lasting + where
    side = "below" if rule.below else "above"
    value = f"{rule.threshold:.0%}" if rule.unit == "ratio" else f"{rule.threshold:,.10g} {rule.unit}"
    if rule.unit == "seconds":
        value = span(rule.threshold)
    return f"{side} {value}, {lasting}{where}"
