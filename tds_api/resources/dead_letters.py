"""Routes of dead letters: list, group, assign, edit, resolve, retry one or many, and import."""

from functools import partial
from typing import Any

import msgspec
from flask import request
from sqlalchemy import Engine

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.http.correlation import correlation_id
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import PageArgumentsSchema, page_schema
from tds_api.schemas.dead_letters import (
    AssignmentSchema,
    DeadLetterArgumentsSchema,
    DeadLetterOrGroupSchema,
    EditionSchema,
    ImportedSchema,
    PreviewArgumentsSchema,
    PreviewSchema,
    ResolutionSchema,
    RetryArgumentsSchema,
    RevivalBatchShownSchema,
    WholeDeadLetterSchema,
)
from tds_core.breakers.registry import Breakers
from tds_core.config.settings import Settings
from tds_core.dead_letters import operator_actions, queries, retry_batches
from tds_core.dead_letters import retry as dead_letters_retry
from tds_core.dead_letters.importer import import_lines
from tds_core.dead_letters.preview import SAMPLE_SIZE, RetryPreview, Selection, preview
from tds_core.dead_letters.retry import InvalidEditError
from tds_core.pagination import Page
from tds_core.sources.registry import open_source
from tds_core.sources.zoho.quota.governor import open_governor
from tds_core.sources.zoho.quota.usage_snapshot import QuotaUnknownError, Usage
from tds_models.auth import Role
from tds_models.db import session_scope


def _batch_routes(routes: Blueprint, context: Context) -> None:
    """Add the routes that retry many dead letters: preview, begin, watch and cancel."""

    @routes.post("/retry/preview")
    @needs(Role.OPERATOR)
    @routes.arguments(PreviewArgumentsSchema)
    @routes.response(200, PreviewSchema)
    def look(arguments: dict[str, Any]) -> Any:
        """Calls, time and changes of a retry: a sample is read from Zoho now, nothing is written."""
        per_minute, sample_size = _pop_per_minute(context, arguments), arguments.pop("sample")
        return preview_retry(
            context.settings,
            context.engine,
            context.breakers,
            Selection(**arguments),
            per_minute=per_minute,
            sample_size=sample_size,
        )

    @routes.post("/retry")
    @needs(Role.OPERATOR)
    @routes.arguments(RetryArgumentsSchema)
    @routes.response(202, RevivalBatchShownSchema)
    def retry(arguments: dict[str, Any]) -> Any:
        """Retry the selected dead letters, at most `per_minute`."""
        per_minute, expected_count = _pop_per_minute(context, arguments), arguments.pop("letter_count", None)
        with session_scope(context.engine) as session:
            batch = retry_batches.request_batch(
                session,
                Selection(**arguments),
                by=principal_name(),
                per_minute=per_minute,
                expected_count=expected_count,
                correlation_id=correlation_id(),
            )
            return queries.batch(session, batch.id)

    @routes.get("/retry")
    @needs(Role.VIEWER)
    @routes.arguments(PageArgumentsSchema, location="query")
    @routes.response(200, page_schema(RevivalBatchShownSchema))
    def listed(arguments: dict[str, Any]) -> Any:
        """Batches, the newest first."""
        with session_scope(context.engine) as session:
            return queries.batches(session, **arguments)

    @routes.get("/retry/<int:batch_id>")
    @needs(Role.VIEWER)
    @routes.response(200, RevivalBatchShownSchema)
    def one(batch_id: int) -> Any:
        """The progress of a batch, and the outcomes of its dead letters."""
        with session_scope(context.engine) as session:
            return queries.batch(session, batch_id)

    @routes.post("/retry/<int:batch_id>/cancel")
    @needs(Role.OPERATOR)
    @routes.response(200, RevivalBatchShownSchema)
    def cancel(batch_id: int) -> Any:
        """Retry no more dead letters of a batch; those already queued go on."""
        with session_scope(context.engine) as session:
            retry_batches.cancel_batch(session, batch_id, by=principal_name())
            return queries.batch(session, batch_id)


def _pop_per_minute(context: Context, arguments: dict[str, Any]) -> int:
    return int(arguments.pop("per_minute", context.settings.revive_per_minute))


def preview_retry(
    settings: Settings,
    engine: Engine,
    breakers: Breakers,
    selection: Selection,
    *,
    per_minute: int,
    sample_size: int = SAMPLE_SIZE,
) -> RetryPreview:
    """A preview of a retry, by the source, quota and breakers of `settings`; a sample is read from the source."""
    scope = partial(session_scope, engine)
    governor = open_governor(settings)

    def usage() -> Usage | None:
        try:
            return governor.usage()
        except QuotaUnknownError:
            return None

    return preview(
        scope,
        selection,
        per_minute=per_minute,
        usage=usage,
        source=lambda name: open_source(name, settings, scope, breakers),
        sample_size=sample_size,
    )


MOST_IMPORTED_BYTES = 64 * 1024 * 1024


class RawEdit(msgspec.Struct):
    """An edit with its JSON text as sent: no number in it becomes a float on the way."""

    record: msgspec.Raw = msgspec.Raw()
    changes: msgspec.Raw = msgspec.Raw()


def dead_letter_routes(context: Context) -> Blueprint:
    """Dead letters."""
    routes = Blueprint(
        "dead letters", __name__, url_prefix="/api/tds/dead-letter", description="Work given up until a person decides"
    )

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.arguments(DeadLetterArgumentsSchema, location="query")
    @routes.response(200, page_schema(DeadLetterOrGroupSchema))
    def listed(arguments: dict[str, Any]) -> Any:
        """Dead letters, the newest first; with `group_by=fingerprint` the open ones grouped by problem."""
        with session_scope(context.engine) as session:
            if arguments.pop("group_by", None):
                filters = {name: arguments.get(name) for name in ("entity", "error_class", "fingerprint")}
                return Page(queries.groups(session, limit=arguments["limit"], **filters), None)
            return queries.dead_letters(session, **arguments)

    @routes.get("/<int:letter_id>")
    @needs(Role.VIEWER)
    @routes.response(200, WholeDeadLetterSchema)
    def one(letter_id: int) -> Any:
        """One dead letter: its record, diagnosis, retries, and the actions of operators."""
        with session_scope(context.engine) as session:
            return queries.dead_letter(session, letter_id)

    @routes.post("/import")
    @needs(Role.ADMIN)
    @routes.doc(requestBody={"required": True, "content": {"application/x-ndjson": {"schema": {}}}})
    @routes.response(200, ImportedSchema)
    def imported() -> Any:
        """Import the dead letters of another system, one JSON object a line; known ones are skipped."""
        request.max_content_length = MOST_IMPORTED_BYTES
        with session_scope(context.engine) as session:
            return import_lines(session, request.stream, by=principal_name())

    _action_routes(routes, context)
    _batch_routes(routes, context)
    return routes


def _action_routes(routes: Blueprint, context: Context) -> None:
    @routes.post("/<int:letter_id>/retry")
    @needs(Role.OPERATOR)
    @routes.response(202, WholeDeadLetterSchema)
    def retry(letter_id: int) -> Any:
        """Retry one dead letter now."""
        return _retry_one(context, letter_id)

    @routes.post("/<int:letter_id>/assign")
    @needs(Role.OPERATOR)
    @routes.arguments(AssignmentSchema)
    @routes.response(200, WholeDeadLetterSchema)
    def assign(arguments: dict[str, Any], letter_id: int) -> Any:
        """Assign a dead letter to a person."""
        with session_scope(context.engine) as session:
            operator_actions.assign(session, letter_id, by=principal_name(), **arguments)
            return queries.dead_letter(session, letter_id)

    @routes.post("/<int:letter_id>/resolve")
    @needs(Role.OPERATOR)
    @routes.arguments(ResolutionSchema)
    @routes.response(200, WholeDeadLetterSchema)
    def resolve(arguments: dict[str, Any], letter_id: int) -> Any:
        """Close a dead letter without syncing its record."""
        with session_scope(context.engine) as session:
            operator_actions.resolve(session, letter_id, by=principal_name(), **arguments)
            return queries.dead_letter(session, letter_id)

    @routes.patch("/<int:letter_id>/payload")
    @needs(Role.OPERATOR)
    @routes.arguments(EditionSchema)
    @routes.response(200, WholeDeadLetterSchema)
    def edit(arguments: dict[str, Any], letter_id: int) -> Any:
        """Replace the record of a dead letter, whole or by members; its next retry applies it without asking Zoho."""
        with session_scope(context.engine) as session:
            raw = msgspec.json.decode(request.get_data(), type=RawEdit)
            if "record" in arguments:
                operator_actions.edit(session, letter_id, record=bytes(raw.record), by=principal_name())
            elif isinstance(arguments.get("changes"), dict):
                operator_actions.amend(session, letter_id, changes=bytes(raw.changes), by=principal_name())
            else:
                raise InvalidEditError("Give a whole `record`, or `changes` to members of the kept one.")
            letter = queries.dead_letter(session, letter_id)
        return (_retry_one(context, letter_id), 202) if arguments["retry"] else letter


def _retry_one(context: Context, letter_id: int) -> Any:
    with session_scope(context.engine) as session:
        entity = dead_letters_retry.retry(session, letter_id, by=principal_name(), correlation_id=correlation_id())
        letter = queries.dead_letter(session, letter_id)
    context.nudger.request([entity])
    return letter
