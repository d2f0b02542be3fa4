"""The log of actions over HTTP: an entry before an action is done, and one with its outcome."""

from typing import Any

import msgspec
import structlog
from flask import Request, Response, request
from sqlalchemy.exc import SQLAlchemyError

from tds_api.auth.authentication import address_of
from tds_api.http.correlation import correlation_id
from tds_api.http.problems import PROBLEM
from tds_api.http.token_bucket import TokenBucket
from tds_api.process_context import Context
from tds_core.auth import action_log
from tds_core.auth.action_log import ActionEntry
from tds_core.auth.principal import Principal, PrincipalKind
from tds_models.auth import ActionOutcome
from tds_models.db import session_scope

log = structlog.get_logger(__name__)

API = "/api/tds/"
LARGEST_LOGGED_BODY = 65_536


class ActionRecorder:
    """Writes the action log of one API process; of refused requests without identity at most one a second."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._anonymous_refusals = TokenBucket(burst=60, per_second=1)

    def begin(self, action: ActionEntry) -> int:
        """Record an action before it is done; raises if it cannot be recorded, so that it is not done."""
        with session_scope(self._context.engine) as session:
            return action_log.record(session, action, ActionOutcome.BEGUN)

    def end(self, action: ActionEntry, begun_id: int | None, response: Response) -> None:
        """Record the outcome. If that fails, the entry of `begin` stays as it is."""
        try:
            with session_scope(self._context.engine) as session:
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
        """Record an action that is done in one step; raises if it cannot be recorded."""
        with session_scope(self._context.engine) as session:
            action_log.record(session, action, ActionOutcome.DONE)

    def refused(self, action: ActionEntry, *, status: int, error: str) -> None:
        """Record an action that was refused."""
        if action.caller.kind is PrincipalKind.ANONYMOUS and not self._anonymous_refusals.take():
            return
        try:
            with session_scope(self._context.engine) as session:
                action_log.record(session, action, ActionOutcome.REFUSED, status=status, error=error)
        except SQLAlchemyError as problem:
            log.error("refusal_not_recorded", operation=action.operation, error=type(problem).__name__)

    def action_of(self, principal: Principal) -> ActionEntry:
        """The log entry of the current request."""
        arguments, path = _arguments(request), request.view_args or {}
        ids = arguments.get("ids")
        source_ids = [path["source_id"]] if "source_id" in path else ids if isinstance(ids, list) else []
        entity = path.get("entity") or arguments.get("entity")
        return ActionEntry(
            caller=principal,
            operation=str(request.endpoint).replace(" ", "_"),
            subject=request.path.removeprefix(API),
            correlation_id=correlation_id(),
            remote_address=address_of(request, self._context.settings),
            entity=entity if isinstance(entity, str) else None,
            source_ids=[each for each in source_ids if isinstance(each, str)],
            detail=arguments,
        )


def _arguments(request: Request) -> dict[str, Any]:
    """Query and JSON arguments; without the body where that is large."""
    arguments: dict[str, Any] = dict(request.args)
    if request.is_json and 0 < (request.content_length or 0) <= LARGEST_LOGGED_BODY:
        body = request.get_json(silent=True)
        if isinstance(body, dict):
            arguments.update(body)
    return arguments


def _outcome(status: int) -> ActionOutcome:
    if status < 400:
        return ActionOutcome.DONE
    return ActionOutcome.REFUSED if status < 500 else ActionOutcome.FAILED


def _code(response: Response) -> str | None:
    if response.content_type != PROBLEM:
        return None
    document = msgspec.json.decode(response.get_data())
    return str(document.get("code"))[:100]
