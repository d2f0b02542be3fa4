"""What metrics and logs cost a webhook: processor time with them and without, in turn, in one process."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from tds_core.schema.migrations import upgrade
from tds_local.embedded import EmbeddedPostgres

ROUNDS, WEBHOOKS = 21, 1000


def measure(rounds: int = ROUNDS, webhooks: int = WEBHOOKS) -> dict[str, Any]:
    """Microseconds of processor time a webhook, API process and worker, and what share of it is for seeing.

    The processes share a directory of counters, as in production.
    """
    home = Path(tempfile.mkdtemp(prefix="tds-bench-"))
    home.chmod(0o755)
    try:
        with EmbeddedPostgres(home) as server:
            upgrade(server.url)
            given = {
                "TDS_DATABASE_URL": server.url,
                "TDS_HOME": str(home),
                "ZOHO_WEBHOOK_SECRET": "benchmark1secret",
                "TDS_SECRET_KEY": Fernet.generate_key().decode(),
                "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics"),
            }
            argv = [sys.executable, "-m", "benchmarks.observability_overhead_child", str(rounds), str(webhooks)]
            done = subprocess.run(argv, env={**os.environ, **given}, stdout=subprocess.PIPE, check=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    as_json = parser.parse_args().json
    figures = measure()
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:32} {value:>10}")


if __name__ == "__main__":
    main()
