"""Keeps a database of the version at hand, from which later ones upgrade: a dump of what the demo left."""

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tds_core.config.sources import SECRETS_FILE
from tds_core.database_urls import without_driver
from tds_local.embedded import EmbeddedPostgres
from tds_local.embedded.binaries import postgres_programs
from tests.house.code import ROOT

#: The dumps, each called after its version.
DATABASES = ROOT / "tests/integration/upgrade/databases"
DEMO = ("demo", "--size", "small", "--rate", "6", "--for", "60", "--json")


def dump(url: str, target: Path) -> None:
    """Write everything a database holds to a file, without who owns it. Raises CalledProcessError."""
    command = [postgres_programs() / "pg_dump", "--format=custom", "--compress=9", "--no-owner", "--no-privileges"]
    subprocess.run([*command, "--file", target, without_driver(url)], check=True)


def keep(home: Path, target: Path) -> None:
    """Dump the database of a demo that has ended, and beside it the key its history was sealed with."""
    with EmbeddedPostgres(home) as server:
        dump(server.url, target)
    target.with_suffix(".key").write_text(json.loads((home / SECRETS_FILE).read_text())["TDS_SECRET_KEY"] + "\n")


def restore(source: Path, url: str) -> None:
    """Fill an empty database from a dump. Raises CalledProcessError."""
    command = [postgres_programs() / "pg_restore", "--no-owner", "--exit-on-error", "--dbname", without_driver(url)]
    subprocess.run([*command, source], check=True, capture_output=True, text=True)


def main() -> None:
    """Run the demo for a minute in a home of its own, and keep its database."""
    with tempfile.TemporaryDirectory(prefix="tds-release-") as home:
        Path(home).chmod(0o755)
        command = [sys.executable, "-m", "tds_api.cli", *DEMO]
        subprocess.run(command, env={**os.environ, "TDS_HOME": home}, check=True, cwd=home)
        target = DATABASES / f"{version('tds')}.dump"
        keep(Path(home, "demo"), target)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1024} kB")  # noqa: T201


if __name__ == "__main__":
    main()
