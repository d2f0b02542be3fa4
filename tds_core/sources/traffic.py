"""Why a source is asked: the classes of traffic, the most urgent first, that share what the source allows."""

from enum import StrEnum


class Traffic(StrEnum):
    """What a call is for. The order is the order of precedence."""

    LIVE = "live"  # what a webhook announced, and stock
    OPERATOR = "operator"  # what a person waits for
    SCHEDULED = "scheduled"  # lists, incremental and full
    BACKFILL = "backfill"  # details of what a list showed

    @property
    def rank(self) -> int:
        """0 for the most urgent class."""
        return _ORDER.index(self)


_ORDER = list(Traffic)
