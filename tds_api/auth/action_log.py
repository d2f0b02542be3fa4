"""The record of what callers do over HTTP: written down before it is done, and again with its outcome."""

from typing import Any

import msgspec
import structlog
from flask import Request, Response, request
from sqlalchemy.exc import SQLAlchemyError

from tds_api.auth.authentication import address_of
from tds_api.context import Context
from tds_api.http.correlation import correlation_id
from tds_api.http.problems import PROBLEM
from tds_api.http.token_bucket import TokenBucket
from tds_core.auth import action_log
from tds_core.auth.action_log import ActionEntry
from tds_core.auth.principal import Principal, PrincipalKind
from tds_models.auth import ActionOutcome
from tds_models.db import session_scope

log = structlog.get_logger(__name__)

API = "/api/tds/"
LARGEST_LOOKED_INTO = 65_536


class Recording:
    """The record, for one API process. A flood of refused strangers is kept only so far as it costs little."""

    def __init__(self, edge: Context) -> None:
        self._edge = edge
        self._strangers = TokenBucket(burst=60, per_second=1)

    def begin(self, action: ActionEntry) -> int:
        """Write down what is about to be done; what cannot be written down is not done."""
        with session_scope(self._edge.engine) as session:
            return action_log.record(session, action, ActionOutcome.BEGUN)

    def end(self, action: ActionEntry, begun_id: int | None, response: Response) -> None:
        """Write down what came of it. Should that fail, the beginning stays as it is."""
        try:
            with session_scope(self._edge.engine) as session:
                action_log.record(
                    session,
                    action,
                    _outcome(response.status_code),
                    begun_id=begun_id,
                    status=response.status_code,
                    error=_code(response),
                )
        except SQLAlchemyError as error:
            log.error("action_end_not_recorded", operation=action.operation, error=type(error).__name__)

    def done(self, action: ActionEntry) -> None:
        """Write down what was done. What cannot be written down is not done: this raises."""
        with session_scope(self._edge.engine) as session:
            action_log.record(session, action, ActionOutcome.DONE)

    def refused(self, action: ActionEntry, *, status: int, error: str) -> None:
        """Write down what somebody may not do."""
        if action.caller.kind is PrincipalKind.NOBODY and not self._strangers.take():
            return
        try:
            with session_scope(self._edge.engine) as session:
                action_log.record(session, action, ActionOutcome.REFUSED, status=status, error=error)
        except SQLAlchemyError as problem:
            log.error("refusal_not_recorded", operation=action.operation, error=type(problem).__name__)

    def action_of(self, caller: Principal) -> ActionEntry:
        """What the request at hand asks for."""
        asked, named = _asked(request), request.view_args or {}
        ids = asked.get("ids")
        source_ids = [named["source_id"]] if "source_id" in named else ids if isinstance(ids, list) else []
        entity = named.get("entity") or asked.get("entity")
        return ActionEntry(
            caller=caller,
            operation=str(request.endpoint).replace(" ", "_"),
            subject=request.path.removeprefix(API),
            correlation_id=correlation_id(),
            remote_address=address_of(request, self._edge.settings),
            entity=entity if isinstance(entity, str) else None,
            source_ids=[each for each in source_ids if isinstance(each, str)],
            detail=asked,
        )


def _asked(given: Request) -> dict[str, Any]:
    """The arguments, as far as they are few."""
    found: dict[str, Any] = dict(given.args)
    if given.is_json and 0 < (given.content_length or 0) <= LARGEST_LOOKED_INTO:
        body = given.get_json(silent=True)
        if isinstance(body, dict):
            found.update(body)
    return found


def _outcome(status: int) -> ActionOutcome:
    if status < 400:
        return ActionOutcome.DONE
    return ActionOutcome.REFUSED if status < 500 else ActionOutcome.FAILED


def _code(response: Response) -> str | None:
    if response.content_type != PROBLEM:
        return None
    document = msgspec.json.decode(response.get_data())
    return str(document.get("code"))[:100]
