"""The page of all decision records, from their titles."""

from tests.house.code import ROOT
from tests.support.reference.markdown import page

OPENING = """What a reader would otherwise undo, each with what was decided, instead of what, and what it costs.
Made from their titles (`make reference`). A later decision has a record of its own, and a line in the
one before."""


def decisions_page() -> str:
    """The page, as it should stand in `docs/decisions.md`."""
    records = sorted((ROOT / "docs/adr").glob("*.md"))
    titles = [(path, path.read_text().partition("\n")[0].removeprefix("# ")) for path in records]
    return page("Decisions", OPENING, [f"- [{title}](adr/{path.name})" for path, title in titles])
