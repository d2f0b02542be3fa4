"""The database of commands: connects by the settings; an outage becomes one message with the next step."""

import contextlib
from collections.abc import Iterator
from functools import partial

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from tds_core.config.settings import Settings, load_settings
from tds_core.configuration.refresh import refresh
from tds_core.errors import ConfigError, TdsError
from tds_models.db import make_engine, session_scope

UNDEFINED_TABLE = "42P01"


class DatabaseAwayError(TdsError):
    """The database does not answer, or has no tables yet."""

    code = "database_unreachable"
    retriable = True


@contextlib.contextmanager
def database(settings: Settings | None = None) -> Iterator[Engine]:
    """The engine of the settings' database. Raises ConfigError or DatabaseAwayError, which name the next step."""
    settings = settings or load_settings()
    if settings.url:
        raise ConfigError(
            f"TDS_URL names {settings.url}, and this command works beside the database only. "
            "Run it there, or unset TDS_URL."
        )
    if not settings.database_url:
        raise ConfigError(
            f"No TDS runs in {settings.home} and TDS_DATABASE_URL is not set. "
            "Start one with: tds up; or set TDS_DATABASE_URL or TDS_HOME."
        )
    engine = make_engine(settings.database_url, pool_size=2, application="tds-cli", timeouts=settings.report_timeouts)
    try:
        _read_configuration(engine)
        yield engine
    except OperationalError as error:
        where = settings.shown("TDS_DATABASE_URL")
        raise DatabaseAwayError(f"{where}: {_first_line(error)}. Find out more with: tds doctor") from None
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) != UNDEFINED_TABLE:
            raise
        raise DatabaseAwayError("The database has no tables of this version yet. Make them with: tds migrate") from None
    finally:
        engine.dispose()


def _read_configuration(engine: Engine) -> None:
    """Read what was changed at run time, if the tables of this version exist: `tds migrate` makes them."""
    try:
        refresh(partial(session_scope, engine))
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) != UNDEFINED_TABLE:
            raise


@contextlib.contextmanager
def transaction() -> Iterator[Session]:
    """One transaction on the settings' database; see `database`."""
    with database() as engine, session_scope(engine) as session:
        yield session


def _first_line(error: OperationalError) -> str:
    return (str(error.orig).strip().splitlines() or ["no answer"])[0].rstrip(".")
