"""The documents as a site: each page is found, each made page is current, each link, anchor and command exists."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from tds_core.config.settings import DECLARATIONS
from tests.house.code import ROOT
from tests.house.command_tree import fault_of
from tests.support.reference.__main__ import PAGES

DOCS = ROOT / "docs"
ALL = sorted(path for path in DOCS.rglob("*.md"))
#: What people read beside the site.
OTHERS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md", "lab/README.md")
READ = [*ALL, *(ROOT / name for name in OTHERS)]
#: Variables that are no settings: of tests, and of what a chaos run tells its programs.
OF_TESTS = {"TDS_TEST_REAL_PACE", "TDS_CHAOS_WITHOUT"}
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
#: What may stand before `tds` on a line that runs it.
RUN_BY = ("docker compose run --rm migrate ", ".venv/bin/")
#: Marks of a line that only shows how a command is spelled.
SHORTENED = ("…", "...", "[", "<", "$(", "*")


def name_of(page: Path) -> str:
    return str(page.relative_to(DOCS))


def prose_of(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page.read_text())


@cache
def anchors_of(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub and the site both make them of plain ones."""
    titles = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    words = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    return frozenset(re.sub(r"[^\w\- ]", "", word).strip().lower().replace(" ", "-") for word in words)


class _Loader(yaml.SafeLoader):
    """Reads names of Python objects as text."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda _loader, suffix, _node: suffix)


def in_order() -> list[str]:
    """The pages the site's navigation names."""
    configuration = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader=_Loader)  # noqa: S506 (a SafeLoader)

    def leaves(part: object) -> Iterator[str]:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict | list):
            for each in part.values() if isinstance(part, dict) else part:
                yield from leaves(each)

    return list(leaves(configuration["nav"]))


def test_every_page_has_one_place_in_the_navigation() -> None:
    listed = in_order()
    assert len(set(listed)) == len(listed)
    own = {name for page in ALL if (name := name_of(page)).split("/")[0] not in ("adr", "runbooks")}
    assert set(listed) == own, "a page of docs/ needs its line in mkdocs.yml"


def test_decisions_and_runbooks_are_found_from_their_lists() -> None:
    for folder, index in (("adr", "decisions.md"), ("runbooks", "alerts.md")):
        listed = set(re.findall(rf"\]\({folder}/([\w-]+\.md)\)", (DOCS / index).read_text()))
        assert {page.name for page in (DOCS / folder).glob("*.md")} - listed == set()


@pytest.mark.parametrize("name", PAGES)
def test_a_made_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run: make reference"


def test_every_link_and_anchor_leads_somewhere() -> None:
    lost = []
    for page in ALL:
        for target in LINK.findall(prose_of(page)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            is_found = there.is_file() and there.is_relative_to(DOCS)
            if not is_found or (anchor and there.suffix == ".md" and anchor not in anchors_of(there)):
                lost.append(f"{name_of(page)}: {target}")
    assert lost == []


def commands_of(page: Path) -> Iterator[tuple[str, bool]]:
    """The commands a page shows, and whether they are whole: in its blocks, not always in its sentences."""
    text = page.read_text()
    blocks = (block for _, language, block in FENCE.findall(text) if language in ("", "console"))
    lines = (line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines())
    words = (" ".join(each.split()) for each in re.findall(r"`([^`]+)`", prose_of(page)))
    for line, is_whole in (*((each, True) for each in lines), *((each, False) for each in words)):
        command = line
        for prefix in RUN_BY:
            command = command.removeprefix(prefix)
        if re.match(r"tds [a-z]", command) and not any(mark in command for mark in SHORTENED):
            yield re.split(r"  +#| +# | \|| [12]?>", command)[0].strip(), is_whole


def unknown_commands(page: Path) -> dict[str, str]:
    """The commands of a page that do not exist as they are shown, each with what is wrong."""
    found = ((line, fault_of(line, is_whole=is_whole)) for line, is_whole in commands_of(page))
    return {line: fault for line, fault in found if fault}


def test_every_command_that_is_shown_exists() -> None:
    made = DOCS / "reference/commands.md"
    wrong = {str(page.relative_to(ROOT)): unknown_commands(page) for page in READ if page != made}
    assert {name: faults for name, faults in wrong.items() if faults} == {}


def test_a_command_that_does_not_exist_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```\n$ tds runs approve\ntds runs list   # all\n```\n`tds runs approve`, `tds nothing`, `tds heal\nrun`\n"
    )
    assert set(unknown_commands(page)) == {"tds runs approve", "tds nothing"}


def test_every_setting_that_is_named_exists() -> None:
    variable = re.compile(r"\b(?:TDS|ZOHO)_[A-Z][A-Z_]*[A-Z]\b")
    of_containers = set(variable.findall((ROOT / "docker-compose.yml").read_text()))
    known = set(DECLARATIONS) | of_containers | OF_TESTS
    named = {f"{page.relative_to(ROOT)}: {each}": each for page in READ for each in variable.findall(page.read_text())}
    assert [
        place for place, name in named.items() if name not in known and name.removesuffix("_FILE") not in known
    ] == []


def test_every_target_of_make_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (page.name, each) for page in READ for each in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.M)
    }
    assert {target for _, target in named} - targets == set()
    assert ("tutorial.md", "demo") in named


def hidden_lists(page: Path) -> Iterator[str]:
    """Lines that begin a list or a table right below a sentence, where the site takes them for its continuation."""
    lines = FENCE.sub("", page.read_text()).splitlines()
    is_in_list = False
    for before, line in zip(["", *lines], lines, strict=False):
        is_item, is_row = bool(re.match(r" *([-*]|\d+\.) ", line)), line.startswith("|")
        goes_on = not before.strip() or before.startswith(("|", "<!--"))
        if (is_item and before.strip() and not is_in_list) or (is_row and not goes_on):
            yield line
        is_in_list = bool(line.strip()) and (is_item or is_in_list)


def test_every_list_and_table_has_an_empty_line_before_it(tmp_path: Path) -> None:
    assert {name_of(page): found for page in ALL if (found := list(hidden_lists(page)))} == {}
    (tmp_path / "page.md").write_text("Three:\n- one\n- two\n\nTwo:\n\n- one\n  goes on\n- two\n\nRow:\n| a |\n")
    assert list(hidden_lists(tmp_path / "page.md")) == ["- one", "| a |"]


def test_every_picture_says_in_words_what_it_shows() -> None:
    fences = [block for page in ALL for _, language, block in FENCE.findall(page.read_text()) if language == "mermaid"]
    assert len(fences) >= 5
    assert [block for block in fences if "accTitle: " not in block or "accDescr: " not in block] == []
