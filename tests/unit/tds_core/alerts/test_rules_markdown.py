"""The table in the document of alerts is the catalogue."""

from pathlib import Path

from tds_core.alerts.rules import RULES
from tds_core.alerts.rules_markdown import markdown_table

PAGE = Path(__file__).parents[4] / "docs/alerts.md"
BEGIN, END = "<!-- rules: tds alerts rules --markdown -->\n", "<!-- end of rules -->\n"


def test_the_document_has_the_table_that_the_catalogue_makes() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    table, _, _ = rest.partition(END)
    assert table == markdown_table(RULES), "put it there anew: tds alerts rules --markdown"
    assert "## Every rule" in before


def test_every_rule_has_a_row_that_leads_to_its_runbook() -> None:
    rows = markdown_table(RULES).splitlines()[2:]
    assert len(rows) == len(RULES)
    for rule, row in zip(RULES, rows, strict=True):
        assert row.startswith(f"| [`{rule.name}`](runbooks/{rule.name}.md): {rule.title} | {rule.severity.value} | ")
        assert row.count(" | ") == 5
