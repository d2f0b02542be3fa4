"""The sources TDS can read, one line each."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy.orm import Session

from tds_core.breakers.registry import Breakers
from tds_core.config.settings import Settings
from tds_core.sources.base import Source
from tds_core.sources.zoho.factory import open_zoho

SOURCES: dict[str, Callable[[Settings, Callable[[], AbstractContextManager[Session]], Breakers], Source]] = {
    "zoho": open_zoho,
}


def open_source(
    name: str, settings: Settings, scope: Callable[[], AbstractContextManager[Session]], breakers: Breakers
) -> Source:
    """A client for source `name`; `scope` opens the short transactions in which it keeps its tokens."""
    return SOURCES[name](settings, scope, breakers)
