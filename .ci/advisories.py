"""Asks a public database which pinned packages have known weaknesses: fails on one, and not when it cannot be asked.

`python .ci/advisories.py LOCK...` ends with 0 when no weakness is known, or the database did not answer (it says so);
with 1 when one is known that `.ci/accepted-advisories.txt` does not accept; with 2 when a file cannot be read.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCEPTED = Path(__file__).with_name("accepted-advisories.txt")
_LINE = re.compile(r"(?P<id>\S+)\s+until\s+(?P<until>\d{4}-\d{2}-\d{2}):\s+\S.*")
#: By these names pip-audit says that the database does not answer as it should.
_AWAY = re.compile(r"ConnectionError|ServiceError|Timeout|Could not connect|is not redirecting|Max retries")


class UnreadableError(Exception):
    """A lock or the list of accepted advisories cannot be read."""


class AwayError(Exception):
    """The database of advisories does not answer."""


@dataclass(frozen=True)
class Audit:
    """What the database says: how many packages it knows of how many asked for, and the weaknesses it names."""

    known_count: int
    asked_count: int
    weaknesses: tuple[str, ...]


def accepted(text: str, today: datetime.date) -> frozenset[str]:
    """The ids of advisories that are accepted today: lines `ID until YYYY-MM-DD: why`. Raises UnreadableError."""
    found = set()
    for line in filter(None, (each.partition("#")[0].strip() for each in text.splitlines())):
        match = _LINE.fullmatch(line)
        if match is None:
            raise UnreadableError(f"{ACCEPTED}: not `ID until YYYY-MM-DD: why`: {line}")
        if today <= datetime.date.fromisoformat(match["until"]):
            found.add(match["id"])
    return frozenset(found)


def audit(document: Mapping[str, Any], accepted_ids: frozenset[str]) -> Audit:
    """Read what pip-audit printed as JSON; the same package of two locks counts once."""
    packages = {(each["name"], each.get("version")): each for each in document["dependencies"]}
    weaknesses = [
        f"{name} {version}: {weakness['id']}, fixed in {' or '.join(weakness['fix_versions']) or 'no version yet'}"
        for (name, version), each in sorted(packages.items(), key=str)
        for weakness in each.get("vulns", ())
        if not accepted_ids & {weakness["id"], *weakness.get("aliases", ())}
    ]
    known = [each for each in packages.values() if "skip_reason" not in each]
    return Audit(len(known), len(packages), tuple(dict.fromkeys(weaknesses)))


def ask(locks: Sequence[str], options: Sequence[str]) -> dict[str, Any]:
    """What pip-audit prints about the locks. Raises AwayError or UnreadableError."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
    files = [word for lock in locks for word in ("--requirement", lock)]
    done = subprocess.run(  # noqa: S603
        [*command, "--format", "json", "--timeout", "10", *files, *options], capture_output=True, text=True, check=False
    )
    if done.stdout.strip():
        return dict(json.loads(done.stdout))
    last = done.stderr.strip().splitlines()[-1:] or [f"pip-audit ended with {done.returncode}"]
    raise (AwayError if _AWAY.search(done.stderr) else UnreadableError)(last[0])


def main() -> int:
    """Ask, say what is known, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("locks", nargs="+", metavar="LOCK")
    asked, options = parser.parse_known_args()
    try:
        today = datetime.datetime.now(datetime.UTC).date()
        found = audit(ask(asked.locks, options), accepted(ACCEPTED.read_text(), today))
    except AwayError as error:
        print(f"advisories: NOT ASKED, the database does not answer: {error}")  # noqa: T201
        return 0
    except UnreadableError as error:
        print(f"advisories: {error}")  # noqa: T201
        return 2
    for weakness in found.weaknesses:
        print(f"advisories: {weakness}")  # noqa: T201
    unknown = found.asked_count - found.known_count
    gap = f"; NOT ASKED for {unknown} of {found.asked_count}, which the database does not know" if unknown else ""
    print(f"advisories: {len(found.weaknesses)} in {found.known_count} packages{gap}")  # noqa: T201
    return 1 if found.weaknesses else 0


if __name__ == "__main__":
    sys.exit(main())
