"""The walls of the house: who may import whom, open a transaction, sleep, print or look at the clock."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from tds_core.config.settings import DECLARATIONS
from tds_models.entities import ENTITIES
from tests.house.code import ROOT, Module, modules, offenders

TDS = ("tds_models", "tds_core", "tds_tasks", "tds_local", "tds_api", "tds_lab")
CORE = ("tds_models", "tds_core")
PURE = frozenset(
    f"tds_core/{name}.py"
    for name in (
        "records/compare",
        "sync/change_limits",
        "queue/retry_policy",
        "sync/position",
        "schedule/slots",
        "sources/zoho/quota/forecast",
        "sources/zoho/quota/limits",
    )
)

# Waiting for time to pass is the job itself: for another process's refresh, a child's start, a burst to gather,
# a Redis to take writes again, a database to come back, a lock to be free.
SLEEPERS = re.compile(
    r"(tds_core/sources/zoho/(tokens|quota/governor)|tds_local/.*|tds_core/schema/partition_conversion|tds_tasks/(worker/celery_consumer|partition_upkeep)|tds_api/(nudger|server_processes|inbox/(group_commit|unstored_counter))|tds_api/cli/.*|tds_lab/.*)\.py"
)
# What a person runs in a terminal, or a program whose first line another one reads.
PRINTERS = re.compile(r"(tds_api/cli/.*|tds_lab/.*|tds_local/embedded/guardian)\.py")
# A command that needs Celery imports it when it is run: the other commands start the sooner.
LATE_IMPORTERS = re.compile(r"tds_api/cli/.*\.py")


def test_nothing_is_imported_inside_a_function() -> None:
    def inner(module: Module) -> list[int]:
        imports = (ast.Import, ast.ImportFrom)
        nodes = [node for function in module.functions() for node in ast.walk(function)]
        return [] if LATE_IMPORTERS.fullmatch(module.name) else [n.lineno for n in nodes if isinstance(n, imports)]

    assert offenders(inner) == {}


def test_the_core_opens_and_ends_no_transaction() -> None:
    def opened(module: Module) -> list[str]:
        taken = [name for name in module.imports() if name.endswith((".session_scope", ".make_engine"))]
        # Alembic works on a connection of its own.
        taken = [] if module.name == "tds_core/schema/migrations.py" else taken
        return taken + [name for name, _ in module.calls() if name in ("session.commit", "session.rollback")]

    assert offenders(opened, *CORE) == {}


def test_decisions_know_no_clock_no_session_and_no_network() -> None:
    def worldly(module: Module) -> list[str]:
        if module.name not in PURE:
            return []
        outside = ("sqlalchemy", "requests", "redis", "random", "time", "os", "structlog")
        clocks = ("datetime.now", "time.time", "time.monotonic", "random.random")
        return [name for name in module.imports() if name.split(".")[0] in outside] + [
            name for name, _ in module.calls() if name in clocks
        ]

    assert {module.name for module in modules("tds_core")} >= PURE
    assert offenders(worldly, "tds_core") == {}


def test_advisory_locks_have_one_list_of_numbers() -> None:
    def numbered(module: Module) -> list[int]:
        lines = enumerate(module.source.splitlines(), 1)
        return [number for number, line in lines if re.search(r"advisory_\w+\(\s*\d", line)]

    assert offenders(numbered, *TDS) == {}


def test_only_named_places_sleep() -> None:
    def sleeps(module: Module) -> list[int]:
        lines = [line for name, line in module.calls() if name in ("time.sleep", "sleep")]
        return [] if SLEEPERS.fullmatch(module.name) else lines

    assert offenders(sleeps, *TDS) == {}


def test_only_what_a_person_runs_prints() -> None:
    def prints(module: Module) -> list[int]:
        return [] if PRINTERS.fullmatch(module.name) else [line for name, line in module.calls() if name == "print"]

    assert offenders(prints) == {}


def test_commands_print_in_one_place_where_nothing_from_outside_is_obeyed() -> None:
    ways = ("print", "Console", "rich.print", "typer.echo", "typer.secho", "click.echo", "sys.stdout.write",
            "sys.stderr.write")  # fmt: skip

    def prints(module: Module) -> list[int]:
        return (
            []
            if module.name == "tds_api/cli/common/output.py"
            else [line for name, line in module.calls() if name in ways]
        )

    assert offenders(prints, "tds_api") == {}


def test_no_time_is_without_its_zone() -> None:
    naive = re.compile(r"datetime\.(utcnow|utcfromtimestamp|today)\(|datetime\.now\(\)")
    assert offenders(lambda module: naive.findall(module.source)) == {}


def test_nothing_catches_everything_unnamed() -> None:
    def bare(module: Module) -> list[int]:
        return [n.lineno for n in ast.walk(module.tree) if isinstance(n, ast.ExceptHandler) and n.type is None]

    assert offenders(bare) == {}


def test_entities_do_not_import_one_another() -> None:
    # what several have in common; no entities themselves
    shared = tuple(
        f"tds_models.entities.{name}"
        for name in (
            "declaration",
            "fields",
            "table_factory",
            "field_modifiers",
            "totals",
            "contact_common",
            "document_common",
        )
    )
    declared = {module.name: module for module in modules("tds_models")}
    for name in ENTITIES:
        imports = declared[f"tds_models/entities/{name}.py"].imports()
        others = [each for each in imports if each.startswith("tds_models.entities") and not each.startswith(shared)]
        assert others == [], name


def test_the_walls_between_packages_stand() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    assert [name for name in DECLARATIONS if f"`{name}`" not in page] == []


def test_every_variable_that_is_read_is_a_declared_setting() -> None:
    reading = re.compile(r"""(?:environ(?:\.get\(|\[)|getenv\()\s*["']((?:TDS|ZOHO)_\w+)["']""")
    internal = {"TDS_PROCESS", "TDS_CHAOS_WITHOUT"}  # what programs are given by those who start them
    read = {name for module in modules(*TDS) for name in reading.findall(module.source)}
    assert read - internal <= set(DECLARATIONS)


def test_the_front_door_runs_every_check() -> None:
    recipe = (ROOT / "Makefile").read_text()
    for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"):
        assert tool in recipe
