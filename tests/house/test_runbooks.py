"""Every alert rule has a runbook of a page whose commands exist, a row in the document, and a fixture."""

import re
from pathlib import Path

import pytest

from tds_core.alerts.rule import Rule
from tds_core.alerts.rules import RULES
from tests.house.code import ROOT
from tests.house.command_tree import fault_of
from tests.house.test_docs import code_words, is_missing
from tests.support.alert_faults import FAULTS

BOOKS = ROOT / "docs/runbooks"
PARTS = (
    "What it means", "Why it matters", "Likely causes", "What TDS does by itself", "What to do", "When it is over",
)  # fmt: skip


def book(rule: Rule) -> Path:
    return BOOKS / f"{rule.name}.md"


def test_every_rule_has_a_runbook_and_no_runbook_is_left_over() -> None:
    assert {path.stem for path in BOOKS.glob("*.md")} == {rule.name for rule in RULES}


def test_every_rule_that_is_measured_has_a_fixture_of_its_fault() -> None:
    assert set(FAULTS) == {rule.name for rule in RULES if rule.measure}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_runbook_is_a_page_with_all_its_parts(rule: Rule) -> None:
    text = book(rule).read_text()
    assert text.startswith(f"# {rule.title}\n\nRule `{rule.name}` of [all rules](../alerts.md).\n")
    assert [part for part in PARTS if f"**{part}.**" not in text] == []
    assert 15 <= len(text.splitlines()) <= 32
    assert max(map(len, text.splitlines())) <= 125
    links = re.findall(r"\]\(([\w./-]+)\)", text)
    assert [link for link in links if not (BOOKS / link).exists()] == []
    assert [word for word in code_words(book(rule)) if is_missing(word)] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_command_of_a_rule_exists(rule: Rule) -> None:
    in_book = [word for word in code_words(book(rule)) if word.startswith("tds ")]
    assert in_book or not rule.measure
    commands = [rule.command, *in_book]
    assert {command: fault for command in commands if (fault := fault_of(command))} == {}


def test_a_command_that_does_not_exist_is_found() -> None:
    wrong = ("tds nothing", "tds runs approve", "tds runs list --every", "tds zoho", "tds health now")
    assert [command for command in wrong if not fault_of(command)] == []
    right = ("tds runs", "tds runs list --state held", "tds compare product --repair", "tds sync all --wait")
    assert [fault_of(command) for command in right] == ["", "", "", ""]
