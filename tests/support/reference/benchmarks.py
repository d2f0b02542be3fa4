"""The page of measured figures: the table of the benchmarks' kept results, and where and when each was run."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import results
from benchmarks import table as comparison
from tests.support.reference.markdown import cell, page, table

OPENING = """Made from `benchmarks/results.json` (`make reference`), which `python -m benchmarks NAME --keep CONDITIONS`
writes; `benchmarks/README.md` says what each measures. Read the ratios: absolute figures say as much about the
machine as about TDS. A ratio is TDS divided by its floor: of seconds and calls less is better, of rates more. A goal is
about the ratio where there is one, else about the figure."""


def benchmarks_page() -> str:
    """The page."""
    stored = results.stored()
    measured = comparison.lines({name: each["figures"] for name, each in stored.items()})
    lines = [
        *table(comparison.COLUMNS, [tuple(map(cell, each)) for each in measured]),
        "## Runs", "",
        *table(("benchmark", "at", "conditions", "commit", "machine", "Python"), _runs(stored)),
    ]  # fmt: skip
    return page("Measured figures", OPENING, lines)


def _runs(stored: results.Results) -> Iterator[tuple[str, ...]]:
    for name, each in stored.items():
        run: Mapping[str, Any] = each["run"]
        conditions = f"{run['note']}; load before it {run['load_before']}"
        yield tuple(map(cell, (name, run["at"], conditions, run["commit"], run["machine"], run["python"])))
