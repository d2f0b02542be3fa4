"""Documents hold: decision records have numbers of their own, and what is named of the repository exists."""

import configparser
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.house.code import ROOT
from tests.house.import_graph import import_graph

RECORDS = sorted((ROOT / "docs" / "adr").glob("*.md"))
PAGES = (
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / each for each in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md", "lab/README.md")),
)
TOP = {"tds_models", "tds_core", "tds_tasks", "tds_local", "tds_api", "tds_lab", "zoho_sandbox",
       "tests", "docs", "deploy", "migrations", "benchmarks"}  # fmt: skip
#: Not in the repository: what an example adds, and the files a supervisor keeps.
ELSEWHERE = {"tds_models/entities/purchase_order.py", "tds_models/entities/<name>.py", "secrets.json", "running.json"}
FILE = re.compile(r"(?!/)[\w.<>/-]+\.(py|md|toml|cfg|json|yml|html)")
DOTTED = re.compile(r"tds_(models|core|tasks|local|api|lab)(\.\w+)+")


def test_every_decision_record_has_a_number_of_its_own_and_says_it() -> None:
    numbers = [path.name[:4] for path in RECORDS]
    assert len(set(numbers)) == len(numbers), numbers
    titles = {path.name: path.read_text().splitlines()[0] for path in RECORDS}
    assert {name for name, title in titles.items() if not re.match(rf"# {name[:4]}: \S", title)} == set()


def code_words(page: Path) -> Iterator[str]:
    """What a page sets in backticks, outside its blocks of code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return (word for line in text.splitlines() for word in re.findall(r"`([^`]+)`", line))


@cache
def is_missing(word: str) -> bool:
    """Whether a word names a file, folder or module that is not in the repository."""
    path = word.split(" ", maxsplit=1)[0].split("::", maxsplit=1)[0].rstrip("/")
    if path in ELSEWHERE or path.rpartition("/")[2] in ELSEWHERE:
        return False
    if FILE.fullmatch(path) or ("/" in path and path.split("/")[0] in TOP):
        return not (ROOT / path).exists()
    return bool(DOTTED.fullmatch(word)) and not any(each in import_graph() for each in (word, word.rpartition(".")[0]))


def test_what_documents_name_in_the_repository_exists() -> None:
    missing = {str(page.relative_to(ROOT)): [word for word in code_words(page) if is_missing(word)] for page in PAGES}
    assert {page: words for page, words in missing.items() if words} == {}


def test_links_between_documents_lead_somewhere() -> None:
    lost = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert lost == []


def test_the_page_on_architecture_opens_with_where_is_what() -> None:
    first = (ROOT / "docs" / "architecture.md").read_text().split("\n## ")[1]
    assert first.startswith("Where is what")
    rows = [line for line in first.splitlines() if line.startswith("| Wh")]
    assert len(rows) > 20
    assert [row for row in rows if "`" not in row] == []


def test_the_page_on_architecture_shows_the_levels_that_are_held() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    levels = config["importlinter:contract:levels"]["layers"].strip()
    assert f"```\n{levels}\n```" in (ROOT / "docs" / "architecture.md").read_text()
