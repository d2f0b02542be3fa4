"""The report of a rehearsal, as JSON for programs and as Markdown for people."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from tds_lab.migration_rehearsal.weeks import RehearsalReport

COLUMNS = ("day", "phase", "old", "here", "equal", "differing", "old_wrong", "tds_wrong", "changed_meanwhile",
           "not_asked", "copies")  # fmt: skip


def write_report(report: RehearsalReport, folder: Path) -> tuple[Path, Path]:
    """Write both files. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    as_json, as_markdown = folder / "rehearsal.json", folder / "rehearsal.md"
    as_json.write_bytes(msgspec.json.format(msgspec.json.encode(asdict(report)), indent=2) + b"\n")
    as_markdown.write_text(markdown(report), encoding="utf-8")
    return as_json, as_markdown


def markdown(report: RehearsalReport) -> str:
    """The report for people."""
    outcome = "It ended well." if not report.problems else f"It did not end well: {'; '.join(report.problems)}."
    faults = "\n".join(f"- {kind}: {count}" for kind, count in sorted(report.old_faults.items()))
    rows = "\n".join(f"| {' | '.join(str(line[name]) for name in COLUMNS)} |" for line in report.days)
    return f"""# Rehearsal of a migration

{outcome}

- Days: {report.plan.day_count}; {report.plan.clean_days} clean days in a row were asked for.
- Promoted on day: {report.promoted_on_day or "never"}. Refused before: {report.refused_promotion or "never"}
- Dead letters taken in: {report.imported_count}; open at the end: {report.open_dead_letter_count}.
- The way back was tried, and {"exact" if report.fallback_is_exact else "not exact"}.
- A forgotten old job tried to write to the views {report.refused_write_count} times and was refused.

## What the old job did

{faults}

## Day by day

| {" | ".join(name.replace("_", " ") for name in COLUMNS)} |
|{"---|" * len(COLUMNS)}
{rows}

Until the promotion, `here` are rows of the mirror and Zoho was the judge of what differed; afterwards they are the rows
that the views show under the old names, each held against Zoho's own record.
"""


def sentence(line: Mapping[str, Any]) -> str:
    """A day in one line."""
    return (
        f"day {line['day']:2} {line['phase']}: {line['equal']} equal, {line['differing']} differ; the old table is"
        f" wrong about {line['old_wrong']}, TDS about {line['tds_wrong']}, unknown {line['not_asked']}"
    )
