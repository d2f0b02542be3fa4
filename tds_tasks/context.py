"""The context of a task's process: settings, one engine, one client per source, made on first use after the fork."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from os import getpid

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tds_core.breakers.registry import Breakers, open_breakers, report_database
from tds_core.config.settings import Settings, load_settings
from tds_core.database_errors import is_away
from tds_core.errors import AuthError, ConfigError
from tds_core.observability.metrics import watch_pool
from tds_core.observability.outages import watch_database
from tds_core.observability.slow_operations import watch_statements
from tds_core.sources import mirrored_organization, registry
from tds_core.sources.base import Source
from tds_core.worker_slots import WorkerSlots
from tds_models.db import autocommit_scope, make_engine, session_scope, set_statement_timeout

log = structlog.get_logger(__name__)


@cache
def settings() -> Settings:
    """This process's settings."""
    return load_settings()


@cache
def _breakers(_pid: int) -> Breakers:
    return open_breakers(settings())


@cache
def _engine(pid: int) -> Engine:
    # One for work, one for heartbeats, one to spare; keyed by process so that a fork never shares a connection.
    settings().require("TDS_DATABASE_URL")
    engine = make_engine(
        settings().database_url,
        pool_size=3,
        application=f"tds-worker-{pid}",
        ping=False,
        timeouts=settings().timeouts,
    )
    report_database(engine, _breakers(pid))
    watch_pool(engine, "worker")
    watch_statements(engine)
    watch_database(engine)
    return engine


def scope() -> AbstractContextManager[Session]:
    """A transaction on this process's engine."""
    return session_scope(_engine(getpid()))


@contextmanager
def unhurried() -> Iterator[Session]:
    """A transaction whose statements may go through whole tables."""
    with scope() as session:
        set_statement_timeout(session, settings().database_report_seconds)
        yield session


@cache
def _worker_slots(_pid: int) -> WorkerSlots:
    return WorkerSlots(scope, least=settings().worker_concurrency)


def worker_slots() -> WorkerSlots:
    """How many tasks the living workers run at once, as this process last counted."""
    return _worker_slots(getpid())


def read_scope() -> AbstractContextManager[Session]:
    """Reads that need no transaction, on this process's engine."""
    return autocommit_scope(_engine(getpid()))


@contextmanager
def while_reachable() -> Iterator[None]:
    """Work that will be asked for again: if the database goes away meanwhile it ends here, which the engine tells."""
    try:
        yield
    except DBAPIError as error:
        if not is_away(error):
            raise


def breakers() -> Breakers:
    """This process's breakers."""
    return _breakers(getpid())


@cache
def _source(name: str, _pid: int) -> Source:
    return registry.open_source(name, settings(), scope, _breakers(getpid()))


@cache
def _organization(_pid: int) -> mirrored_organization.OrganizationGuard:
    return mirrored_organization.OrganizationGuard(scope, "zoho", settings().zoho_organization_id)


def is_elsewhere() -> bool:
    """Whether the mirror belongs to another organisation than the settings name; then nothing is read or written."""
    refusal = _organization(getpid()).refusal()
    if refusal is not None:
        log.error("organization_refused", detail=str(refusal))
    return refusal is not None


def source(name: str) -> Source:
    """This process's client for source `name`. Settings that are missing keep work waiting, like any lack of access."""
    try:
        return _source(name, getpid())
    except ConfigError as error:
        raise AuthError(str(error), after_seconds=60) from None
