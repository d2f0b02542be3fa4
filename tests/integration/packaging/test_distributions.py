"""What is published: a wheel and a source distribution of TDS, and tds-lab beside them."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from sqlalchemy import text

from tds_core.schema.migrations import newest_revision
from tds_models.db import make_engine
from tests.house.code import ROOT
from tests.integration.packaging.conftest import Installed

OF_TDS = {"tds_api", "tds_core", "tds_local", "tds_models", "tds_tasks"}
OF_LAB = {"tds_lab", "zoho_sandbox"}


def files_of(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def top_level(wheel: Path) -> set[str]:
    return {name.partition("/")[0] for name in files_of(wheel) if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def installed(install: Callable[..., Installed]) -> Installed:
    return install("tds")


def test_no_wheel_adds_names_that_are_not_ours(wheels: dict[str, Path]) -> None:
    assert {name: top_level(wheel) for name, wheel in wheels.items()} == {"tds": OF_TDS, "tds-lab": OF_LAB}


@pytest.mark.parametrize("name", ["tds", "tds-lab"])
def test_every_wheel_carries_every_module_of_its_packages_and_the_licence(name: str, wheels: dict[str, Path]) -> None:
    found = files_of(wheels[name])
    packages = top_level(wheels[name])
    modules = {str(path.relative_to(ROOT)) for package in packages for path in (ROOT / package).rglob("*.py")}
    assert modules <= found
    assert any(each.endswith("dist-info/licenses/LICENSE") for each in found)


def test_pages_styles_texts_and_templates_are_in_the_wheel(wheels: dict[str, Path]) -> None:
    beside = {
        str(path.relative_to(ROOT))
        for package in OF_TDS for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }  # fmt: skip
    assert beside - files_of(wheels["tds"]) == set()


def test_the_wheel_of_the_source_distribution_is_the_wheel(
    sources: Path, wheels: dict[str, Path], tmp_path: Path
) -> None:
    code = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=sources, check=True, capture_output=True)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    [unpacked] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert {"LICENSE", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= {path.name for path in unpacked.iterdir()}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "-w", tmp_path, unpacked], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    assert files_of(wheel) == files_of(wheels["tds"])


def test_the_installed_command_says_its_version(installed: Installed) -> None:
    done = installed.run("tds", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tds {version('tds')}\n", "")


def test_an_installed_tds_migrates_an_empty_database(installed: Installed, empty_database: str) -> None:
    done = installed.run("tds", "migrate", TDS_DATABASE_URL=empty_database, TDS_HOME=str(installed.directory / "home"))
    assert done.returncode == 0, done.stderr
    engine = make_engine(empty_database)
    with engine.connect() as connection:
        assert connection.scalar(text("select version_num from alembic_version")) == newest_revision()
    engine.dispose()


def test_another_program_finds_neither_our_timetable_nor_our_migrations(installed: Installed) -> None:
    code = "import importlib.util as u; print(u.find_spec('celeryconfig'), u.find_spec('migrations'))"
    assert installed.run("python", "-c", code).stdout == "None None\n"


@pytest.mark.parametrize("command", [["demo"], ["sandbox"]])
def test_commands_of_the_lab_say_what_to_install(command: list[str], installed: Installed) -> None:
    done = installed.run("tds", *command)
    assert (done.returncode, done.stdout) == (2, "")
    assert "tds-lab" in done.stderr
    assert "pip install ./lab" in done.stderr


def test_the_lab_brings_its_commands(install: Callable[..., Installed]) -> None:
    both = install("tds", "tds-lab")
    assert both.run("tds", "demo", "--help").returncode == 0
    assert both.run("zoho-sandbox", "--help").returncode == 0
