"""Pieces of Markdown that the pages of the reference are made of."""

from collections.abc import Iterable, Sequence


def cell(text: object) -> str:
    """A value on one line, without what would end a cell or begin a tag."""
    line = " ".join(str(text).split())
    return line.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


def code(text: object) -> str:
    """A value in backticks; nothing for no value."""
    line = " ".join(str(text).split()).replace("|", "\\|")
    return f"`{line}`" if line else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table, with an empty one behind; none without rows. Cells are Markdown already."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return []
    return [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *lines, ""]


def page(title: str, opening: str, lines: Iterable[str]) -> str:
    """A whole page: its title, what it is made from, and its lines."""
    return "\n".join([f"# {title}", "", opening, "", *lines]).rstrip() + "\n"
