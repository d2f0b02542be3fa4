"""Phrases of alerts: counts with their nouns, and lists that name a few and count the rest."""

from collections.abc import Sequence

MOST_NAMED = 3


def counted(count: float, noun: str, plural: str = "") -> str:
    """A count with its noun: "1 record", "1,200 records"; `plural` where it is irregular."""
    return f"{count:,.0f} {noun if count == 1 else plural or noun + 's'}"


def named(names: Sequence[str], *, most: int = MOST_NAMED) -> str:
    """The first of some names, and how many more there are: "product, invoice and 4 more"."""
    shown, more = list(names[:most]), len(names) - most
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
