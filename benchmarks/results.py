"""The stored results: of each benchmark its newest kept run, with where it ran. Figures in documents are these."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("results.json")
Results = dict[str, dict[str, Any]]


def stored() -> Results:
    """What is kept: by benchmark its `run` and its `figures`."""
    return dict(json.loads(PATH.read_text())) if PATH.exists() else {}


def keep(name: str, figures: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Keep the figures of one benchmark in place of its last ones."""
    results = {**stored(), name: {"run": dict(run), "figures": dict(figures)}}
    PATH.write_text(json.dumps(dict(sorted(results.items())), indent=1, ensure_ascii=False) + "\n")


def run_of(note: str) -> dict[str, Any]:
    """Where and when a run is: `note` says under what conditions."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "note": note,
        "commit": _commit(),
        "machine": f"{os.cpu_count()} of {_processor()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
    }


def _commit() -> str:
    """The commit, and whether files differ from it that a benchmark runs."""
    differing = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results.json", ":!docs")
    return _git("rev-parse", "--short", "HEAD") + ("-dirty" if differing else "")


def _git(*arguments: str) -> str:
    said = subprocess.run(["git", *arguments], cwd=PATH.parents[1], capture_output=True, text=True, check=False)  # noqa: S607
    return said.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
