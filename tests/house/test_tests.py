"""Tests mirror the source: whoever changes a module finds its test by its path, or in `tests/tested_by.toml`."""

import ast
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from tests.house.code import ROOT, Module, modules
from tests.house.import_graph import dotted, import_graph

TESTS = ROOT / "tests"
PACKAGES = ("tds_models", "tds_core", "tds_tasks", "tds_api")


def product_modules() -> list[Module]:
    """The modules that have something to test: no empty `__init__`."""
    return [module for module in modules(*PACKAGES) if any(not _is_docstring(node) for node in module.tree.body)]


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@cache
def every_test_file() -> tuple[Path, ...]:
    """Every test file, relative to `tests/`."""
    return tuple(path.relative_to(TESTS) for path in sorted(TESTS.rglob("test_*.py")))


def mirroring_tests(module: Module) -> list[Path]:
    """Test files of the module's own name, below unit/<its path> or in the integration folder of its package."""
    path = Path(module.name)
    named = re.compile(rf"test_{re.escape(path.stem)}(_\w+)?\.py")
    return [
        test for test in every_test_file()
        if named.fullmatch(test.name) and (
            test.parent == Path("unit") / path.parent
            or (test.parts[0] == "integration" and test.parent.name == path.parent.name)
        )
    ]  # fmt: skip


def listed() -> Iterator[tuple[str, str, str]]:
    """Every line of the list: a pattern of module paths, a test file, and the word both have ("" where it imports)."""
    tables = tomllib.loads((TESTS / "tested_by.toml").read_text())
    for package, lines in tables.items():
        for pattern, place in lines.items():
            test, _, word = place.partition(": ")
            yield f"{package}/{pattern}", test, word


@cache
def imported_by(test: str) -> set[str]:
    """The modules a test file imports, by dotted name; where one is a registry, also what it gathers in its folder."""
    names = set(Module(test, (TESTS / test).read_text()).imports())
    imported = {name for name in import_graph() if any(each == name or each.startswith(f"{name}.") for each in names)}
    for package in sorted(imported):
        if (ROOT / package.replace(".", "/") / "__init__.py").exists():
            imported |= _gathered(package, package)
    return imported


def _gathered(name: str, package: str) -> set[str]:
    inside = {each for each in import_graph()[name] if each.startswith(f"{package}.")}
    return inside.union(*(_gathered(each, package) for each in inside))


def is_true(module: Module, test: str, word: str) -> bool:
    """Whether a line of the list holds for a module."""
    if not (TESTS / test).exists():
        return False
    if not word:
        return dotted(module.name) in imported_by(test)
    whole = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    return bool(whole.search(module.source) and whole.search((TESTS / test).read_text()))


def test_every_line_of_the_list_is_true() -> None:
    of = {module.name: module for module in product_modules()}
    for pattern, test, word in listed():
        matching = [module for name, module in of.items() if fnmatch(name, pattern)]
        assert matching, f"{pattern}: there is no such module"
        assert [module.name for module in matching if not is_true(module, test, word)] == [], (pattern, test, word)


def test_no_line_repeats_what_a_name_tells() -> None:
    mirrored = {module.name for module in product_modules() if mirroring_tests(module)}
    assert [pattern for pattern, _, _ in listed() if pattern in mirrored] == []


def test_three_modules_in_four_have_a_test_one_can_find() -> None:
    patterns = [pattern for pattern, _, _ in listed()]
    all_modules = product_modules()
    lost = [
        module.name for module in all_modules
        if not mirroring_tests(module) and not any(fnmatch(module.name, pattern) for pattern in patterns)
    ]  # fmt: skip
    assert len(lost) <= 0.25 * len(all_modules), lost
