"""Writes the pages that are made from what they describe anew."""

from collections.abc import Callable

from tests.house.code import ROOT
from tests.support.reference.benchmarks import benchmarks_page
from tests.support.reference.commands import commands_page
from tests.support.reference.decisions import decisions_page
from tests.support.reference.routes import routes_page
from tests.support.reference.tables import tables_page

#: Each page below `docs`, and what makes it.
PAGES: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands_page,
    "reference/routes.md": routes_page,
    "reference/tables.md": tables_page,
    "reference/benchmarks.md": benchmarks_page,
    "decisions.md": decisions_page,
}

if __name__ == "__main__":
    for name, made in PAGES.items():
        (ROOT / "docs" / name).write_text(made())
