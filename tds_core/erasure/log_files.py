"""Log files: overwrites a person's values with as many asterisks, in place, while programs append to the same files."""

import re
from collections.abc import Collection
from pathlib import Path

from tds_core.erasure.scrub import variants_of


def matches_in(folder: Path, values: Collection[str], *, overwrite: bool) -> dict[str, int]:
    """By file in `folder`, how often one of the values stands there as whole words; `overwrite`: it does no more.

    A file keeps its length, so nothing that is appended meanwhile is lost. Files that end meanwhile are left out.
    """
    spelled = [re.escape(each.encode()) for each in variants_of(values)]
    if not spelled or not folder.is_dir():
        return {}
    pattern = re.compile(rb"(?<![A-Za-z0-9_])(?:" + b"|".join(spelled) + rb")(?![A-Za-z0-9_])", re.IGNORECASE)
    found = {path.name: _overwritten(path, pattern, overwrite=overwrite) for path in sorted(folder.glob("*.log*"))}
    return {name: count for name, count in found.items() if count}


def _overwritten(path: Path, pattern: re.Pattern[bytes], *, overwrite: bool) -> int:
    try:
        with path.open("r+b" if overwrite else "rb") as file:
            matches = [each.span() for each in pattern.finditer(file.read())]
            for start, end in matches if overwrite else ():
                file.seek(start)
                file.write(b"*" * (end - start))
            return len(matches)
    except FileNotFoundError:
        return 0
