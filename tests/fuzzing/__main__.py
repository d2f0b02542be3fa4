"""Fuzz the API as nobody and as each role with schemathesis, all checks on; prints a table and fails on findings."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests

from tds_core.schema.migrations import upgrade
from tds_local.embedded import EmbeddedPostgres, EmbeddedRedis
from tds_models.db import make_engine
from tests.fuzzing.environment import ADMIN, NOBODY, Environment, running_environment

HERE = Path(__file__).parent
#: Entities have the same routes; these stand for all.
ONE_ENTITY = ["--exclude-path-regex", "/(entities|explain)/(?!product|invoice)"]


def fuzz(environment: Environment, asker: str, *, home: Path, options: list[str]) -> dict[str, Any]:
    """Let schemathesis ask as `asker`. Returns its report."""
    described, report = home / "openapi.json", home / f"{asker}.json"
    admins = {"Authorization": f"Bearer {environment.api_keys[ADMIN]}"}
    described.write_bytes(requests.get(f"{environment.url}/api/tds/openapi.json", headers=admins, timeout=30).content)
    header = ["-H", f"Authorization: Bearer {environment.api_keys[asker]}"] if asker != NOBODY else []
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(HERE / "schemathesis.toml"), "run"]
    asked = [str(described), "--url", environment.url, *header, "--checks", "all", *ONE_ENTITY, "--no-color"]
    written = ["--report", "json", "--report-json-path", str(report), "--continue-on-failure"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzzing.hooks", "PYTHONPATH": str(HERE.parents[1])}
    with (home / f"{asker}.txt").open("w") as told:
        subprocess.run([*command, *asked, *written, *options], cwd=home, env=environment, stdout=told, check=False)
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def main() -> int:
    """Fuzz as everybody asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("askers", nargs="*", default=[NOBODY, "viewer", "operator", ADMIN])
    parser.add_argument("--seconds", type=int, default=120, help="for each asker; 120")
    parser.add_argument("--examples", type=int, default=20, help="for each operation; 20")
    chosen = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="tds-fuzz-"))
    home.chmod(0o755)
    options = ["--max-time", str(chosen.seconds), "--max-examples", str(chosen.examples)]
    failed = False
    with EmbeddedPostgres(home, durable=False) as postgres, EmbeddedRedis(home, durable=False) as cache:
        upgrade(postgres.url)
        with running_environment(postgres.url, make_engine(postgres.url, pool_size=5), cache.url) as environment:
            for asker in chosen.askers:
                found = fuzz(environment, asker, home=home, options=options)
                counts = found["test_cases"]
                print(f"{asker:10} {counts['generated']:6} examples, {counts['unique_failures']} findings", flush=True)
                for each in found["failures"]:
                    print(f"    {each['title']}: {', '.join(each['operations'][:5])}")
                failed = failed or bool(found["failures"] or found["errors"])
    print(f"What was asked and answered: {home}")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
