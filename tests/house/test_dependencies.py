"""Dependencies are declared where they are used, nothing is declared in vain, and all places name the same versions."""

import ast
import configparser
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.house.code import ROOT, Module, modules

TDS = ("tds_models", "tds_core", "tds_tasks", "tds_local", "tds_api")
#: What is run as a program, spoken to through another package, or found by its name in a spelling of its own.
RUN = {"kombu": "tds_tasks/celeryconfig.py", "psycopg2-binary": "tds_models/db.py"}
LOCKS = ("build", "runtime", "embedded", "otel", "dev", "bench", "docs")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def declared(part: str) -> set[str]:
    lines = (ROOT / f"requirements/{part}.in").read_text().splitlines()
    return {canonicalize_name(Requirement(line).name) for line in lines if line and line[0] not in "#-"}


def imported(module: Module) -> Iterator[str]:
    """The names of other distributions' packages that a module imports, but for its types alone."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def distributions_of(packages: tuple[str, ...]) -> set[str]:
    known = packages_distributions()
    ours = {*TDS, "tds_lab", "zoho_sandbox", "_typeshed"}
    names = {name for module in modules(*packages) for name in imported(module)} - ours - sys.stdlib_module_names
    return {canonicalize_name(known[name][0]) for name in names if not name.startswith("opentelemetry")}


def test_every_import_is_declared() -> None:
    assert distributions_of(TDS) - declared("runtime") == set()
    assert distributions_of(("tds_lab", "zoho_sandbox")) - declared("runtime") == set()


def test_nothing_is_declared_in_vain() -> None:
    assert declared("runtime") - distributions_of(TDS) - {*RUN} == set()
    assert all((ROOT / path).exists() for path in RUN.values())


def test_a_wheel_depends_on_nothing_that_builds_it_or_serves_one_machine() -> None:
    assert not declared("runtime") & {"setuptools", "wheel", *declared("embedded"), *declared("otel")}
    assert declared("build") == {"setuptools"}


@pytest.mark.parametrize("part", LOCKS)
def test_every_pin_has_hashes_and_says_why_it_is_there(part: str) -> None:
    pins = re.split(r"\n(?=\S)", (ROOT / f"requirements/{part}.lock").read_text())
    pins = [pin for pin in pins if pin[0] != "#"]
    assert pins
    assert [pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin or "# via" not in pin] == []


def pins(part: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, pinned in re.findall(
        r"^([\w.-]+)==(\S+)", (ROOT / f"requirements/{part}.lock").read_text(), re.MULTILINE
    ):
        found.setdefault(name, set()).add(pinned)
    return found


@pytest.mark.parametrize("part", ["embedded", "otel", "dev", "bench", "docs"])
def test_no_part_pins_another_version_than_what_is_installed_first(part: str) -> None:
    first = {**pins("runtime"), **({} if part == "embedded" else pins("embedded"))}
    assert {name: found for name, found in pins(part).items() if name in first and found != first[name]} == {}


def setup() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def test_both_distributions_have_one_version_and_want_one_python() -> None:
    metadata, options = setup()["metadata"], setup()["options"]
    lab = tomllib.loads((ROOT / "lab/pyproject.toml").read_text())["project"]
    assert lab["version"] == metadata["version"]
    assert lab["dependencies"] == [f"tds[embedded]=={metadata['version']}"]
    assert lab["requires-python"] == options["python_requires"]


def test_every_place_names_the_same_pythons() -> None:
    wanted = SpecifierSet(setup()["options"]["python_requires"])
    assert [minor for minor in range(9, 20) if wanted.contains(f"3.{minor}.1")] == [int(each[2:]) for each in PYTHONS]
    classifiers = setup()["metadata"]["classifiers"]
    assert re.findall(r"Python :: (3\.\d+)$", classifiers, re.MULTILINE) == [*PYTHONS]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow["jobs"]["run"]["strategy"]["matrix"]["python"] == [*PYTHONS]
    for path in ("Makefile", ".ci/run"):
        text = (ROOT / path).read_text()
        assert " ".join(["python3", *(f"python{each}" for each in reversed(PYTHONS))]) in text, path
        assert f"(3, 11) <= sys.version_info[:2] <= (3, {PYTHONS[-1][2:]})" in text, path
    assert "3.11, 3.12, 3.13 or 3.14" in (ROOT / "README.md").read_text()


def test_the_workflow_runs_what_is_run_elsewhere() -> None:
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["run"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["bash .ci/run"]


def test_hooks_call_what_make_test_calls() -> None:
    recipe = (ROOT / "Makefile").read_text()
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        program = hook["entry"].split()[0]
        assert program.startswith(".venv/bin/")
        assert f"$(BIN)/{Path(program).name}" in recipe
