"""The old sync's database beside TDS's own, opened for comparisons: one connection here, one engine there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from tds_core.cutover.comparison import Scope
from tds_core.cutover.mapping import CutoverMapping, MappingError
from tds_core.database_urls import without_password
from tds_models.db import UNLIMITED, connection_scope, make_engine


@contextmanager
def old_engine(mapping: CutoverMapping, engine: Engine) -> Iterator[Engine]:
    """The engine of the old tables: TDS's own, unless the mapping names another database. Raises MappingError."""
    name = mapping.database_url_from
    if not name:
        yield engine
        return
    url = os.environ.get(name, "")
    if not url:
        raise MappingError(f"old.database_url_from: the environment variable {name} is not set. Set it to the address"
                           " of the old database: postgresql://user:password@host/name")  # fmt: skip
    old = make_engine(url, pool_size=2, application="tds-cutover", timeouts=UNLIMITED)
    try:
        with old.connect():
            pass
    except OperationalError as error:
        old.dispose()
        reason = (str(error.orig).strip().splitlines() or ["no answer"])[0]
        raise MappingError(f"old.database_url_from: {without_password(url)}: {reason}.") from None
    try:
        yield old
    finally:
        old.dispose()


@contextmanager
def scope_of_one_connection(engine: Engine) -> Iterator[Scope]:
    """Transactions one after the other on one connection, so that temporary tables outlive each."""
    with engine.connect() as connection:
        yield partial(connection_scope, connection)
