"""The action log of commands: account and machine, in the transaction of the action."""

import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from getpass import getuser
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tds_api.cli.common.database import database
from tds_core.auth import action_log
from tds_core.auth.action_log import ActionEntry
from tds_core.auth.principal import shell
from tds_core.errors import TdsError
from tds_models.auth import ActionOutcome
from tds_models.db import session_scope


def action_of(
    operation: str,
    subject: object = "",
    *,
    entity: str | None = None,
    source_ids: Sequence[str] = (),
    detail: Mapping[str, Any] | None = None,
) -> ActionEntry:
    """The log entry of an action by this shell's account."""
    return ActionEntry(
        caller=shell(getuser()),
        operation=f"cli.{operation}",
        subject=str(subject),
        correlation_id=secrets.token_hex(16),
        remote_address=socket.gethostname(),
        entity=entity,
        source_ids=source_ids,
        detail=detail or {},
    )


@contextmanager
def acting(operation: str, subject: object = "", **more: Any) -> Iterator[Session]:
    """A transaction that logs its action when it commits; a refusal (TdsError) is logged too."""
    with database() as engine, acting_on(engine, operation, subject, **more) as session:
        yield session


def did(engine: Engine, operation: str, subject: object = "", **more: Any) -> None:
    """Log an action that was done outside the database: at Zoho, in Redis."""
    with session_scope(engine) as session:
        action_log.record(session, action_of(operation, subject, **more), ActionOutcome.DONE)


@contextmanager
def acting_on(engine: Engine, operation: str, subject: object = "", **more: Any) -> Iterator[Session]:
    """As `acting`, on a given engine."""
    action = action_of(operation, subject, **more)
    try:
        with session_scope(engine) as session:
            yield session
            action_log.record(session, action, ActionOutcome.DONE)
    except TdsError as error:
        with session_scope(engine) as session:
            action_log.record(session, action, ActionOutcome.REFUSED, error=error.code)
        raise
