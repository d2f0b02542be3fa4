"""Routes of dead letters: seen one by one or by problem, given to somebody, edited, closed, retried and taken in.

Routes that retry many dead letters: looked at first, then begun, watched and cancelled.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from flask import request
from sqlalchemy import Engine

from tds_api.auth.authentication import acting
from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.http.correlation import correlation_id
from tds_api.openapi import Blueprint
from tds_api.schemas.common import PageArguments, page_schema
from tds_api.schemas.dead_letters import (
    Assignment,
    Edition,
    Imported,
    LetterArguments,
    LetterOrGroup,
    Preview,
    PreviewArguments,
    Resolution,
    RetryArguments,
    RevivalBatchShown,
    WholeLetter,
)
from tds_core.breakers.registry import Breakers
from tds_core.config.settings import Settings
from tds_core.dead_letters import queries as reading
from tds_core.dead_letters import retry as dead_letters_retry
from tds_core.dead_letters import retry_batches, triage
from tds_core.dead_letters.importer import import_lines
from tds_core.dead_letters.preview import SAMPLE, Selection, preview
from tds_core.dead_letters.retry import WrongRecordError
from tds_core.pagination import Page
from tds_core.sources.registry import open_source
from tds_core.sources.zoho.quota.governor import open_governor
from tds_core.sources.zoho.quota.usage import QuotaUnknownError, Usage
from tds_models.auth import Role
from tds_models.db import session_scope


def batch_routes(routes: Blueprint, edge: Context) -> None:
    """Add the routes of batches to those of letters."""

    @routes.post("/retry/preview")
    @needs(Role.OPERATOR)
    @routes.arguments(PreviewArguments)
    @routes.response(200, Preview)
    def look(arguments: dict[str, Any]) -> Any:
        """What a retry costs, takes and changes: a sample is read from Zoho now, nothing is written."""
        per_minute, sample_size = _throttle(edge, arguments), arguments.pop("sample")
        return look_at(
            edge.settings,
            edge.engine,
            edge.breakers,
            Selection(**arguments),
            per_minute=per_minute,
            sample_size=sample_size,
        )

    @routes.post("/retry")
    @needs(Role.OPERATOR)
    @routes.arguments(RetryArguments)
    @routes.response(202, RevivalBatchShown)
    def retry(arguments: dict[str, Any]) -> Any:
        """Retry the letters that are meant, so many a minute."""
        per_minute, expected_count = _throttle(edge, arguments), arguments.pop("letter_count", None)
        with session_scope(edge.engine) as session:
            batch = retry_batches.request_batch(
                session,
                Selection(**arguments),
                by=acting(),
                per_minute=per_minute,
                expected_count=expected_count,
                correlation_id=correlation_id(),
            )
            return reading.batch(session, batch.id)

    @routes.get("/retry")
    @needs(Role.VIEWER)
    @routes.arguments(PageArguments, location="query")
    @routes.response(200, page_schema(RevivalBatchShown))
    def listed(arguments: dict[str, Any]) -> Any:
        """Batches, the newest first."""
        with session_scope(edge.engine) as session:
            return reading.batches(session, **arguments)

    @routes.get("/retry/<int:batch_id>")
    @needs(Role.VIEWER)
    @routes.response(200, RevivalBatchShown)
    def one(batch_id: int) -> Any:
        """How far a batch is, and what its letters came to."""
        with session_scope(edge.engine) as session:
            return reading.batch(session, batch_id)

    @routes.post("/retry/<int:batch_id>/cancel")
    @needs(Role.OPERATOR)
    @routes.response(200, RevivalBatchShown)
    def cancel(batch_id: int) -> Any:
        """Retry no more letters of a batch; those that are work already go on."""
        with session_scope(edge.engine) as session:
            retry_batches.cancel_batch(session, batch_id, by=acting())
            return reading.batch(session, batch_id)


def _throttle(edge: Context, arguments: dict[str, Any]) -> int:
    return int(arguments.pop("per_minute", edge.settings.revive_per_minute))


def look_at(
    settings: Settings,
    engine: Engine,
    breakers: Breakers,
    selection: Selection,
    *,
    per_minute: int,
    sample_size: int = SAMPLE,
) -> Mapping[str, Any]:
    """A preview with what `settings` lead to."""
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


class RawEdition(msgspec.Struct):
    """An edition as it was spelled: no number in it becomes a float on the way."""

    record: msgspec.Raw = msgspec.Raw()
    changes: msgspec.Raw = msgspec.Raw()


def letter_routes(edge: Context) -> Blueprint:
    """Dead letters."""
    routes = Blueprint(
        "dead letters", __name__, url_prefix="/api/tds/dead-letter", description="Work given up until a person decides"
    )

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.arguments(LetterArguments, location="query")
    @routes.response(200, page_schema(LetterOrGroup))
    def listed(arguments: dict[str, Any]) -> Any:
        """Dead letters, the newest first; with `group_by=fingerprint` the problems behind the open ones."""
        with session_scope(edge.engine) as session:
            if arguments.pop("group_by", None):
                some = {name: arguments.get(name) for name in ("entity", "error_class")}
                return Page(reading.groups(session, **some), None)
            return reading.letters(session, **arguments)

    @routes.get("/<int:letter_id>")
    @needs(Role.VIEWER)
    @routes.response(200, WholeLetter)
    def one(letter_id: int) -> Any:
        """One dead letter: its record, what it means, how often it was retried, and what people did."""
        with session_scope(edge.engine) as session:
            return reading.letter(session, letter_id)

    @routes.post("/import")
    @needs(Role.ADMIN)
    @routes.doc(requestBody={"required": True, "content": {"application/x-ndjson": {"schema": {}}}})
    @routes.response(200, Imported)
    def imported() -> Any:
        """Take in the dead letters of another system, one JSON object a line; what is known adds nothing."""
        request.max_content_length = MOST_IMPORTED_BYTES
        with session_scope(edge.engine) as session:
            return import_lines(session, request.stream, by=acting())

    _decisions(routes, edge)
    batch_routes(routes, edge)
    return routes


def _decisions(routes: Blueprint, edge: Context) -> None:
    @routes.post("/<int:letter_id>/retry")
    @needs(Role.OPERATOR)
    @routes.response(202, WholeLetter)
    def retry(letter_id: int) -> Any:
        """Retry one letter now."""
        return _retried(edge, letter_id)

    @routes.post("/<int:letter_id>/assign")
    @needs(Role.OPERATOR)
    @routes.arguments(Assignment)
    @routes.response(200, WholeLetter)
    def assign(arguments: dict[str, Any], letter_id: int) -> Any:
        """Give a letter to somebody."""
        with session_scope(edge.engine) as session:
            triage.assign(session, letter_id, by=acting(), **arguments)
            return reading.letter(session, letter_id)

    @routes.post("/<int:letter_id>/resolve")
    @needs(Role.OPERATOR)
    @routes.arguments(Resolution)
    @routes.response(200, WholeLetter)
    def resolve(arguments: dict[str, Any], letter_id: int) -> Any:
        """Close a letter without bringing its record over."""
        with session_scope(edge.engine) as session:
            triage.resolve(session, letter_id, by=acting(), **arguments)
            return reading.letter(session, letter_id)

    @routes.patch("/<int:letter_id>/payload")
    @needs(Role.OPERATOR)
    @routes.arguments(Edition)
    @routes.response(200, WholeLetter)
    def edit(arguments: dict[str, Any], letter_id: int) -> Any:
        """Give a letter another record, whole or by members; its next retry applies it instead of asking Zoho."""
        with session_scope(edge.engine) as session:
            given = msgspec.json.decode(request.get_data(), type=RawEdition)
            if "record" in arguments:
                triage.edit(session, letter_id, record=bytes(given.record), by=acting())
            elif isinstance(arguments.get("changes"), dict):
                triage.amend(session, letter_id, changes=bytes(given.changes), by=acting())
            else:
                raise WrongRecordError("Give a whole `record`, or `changes` to members of the kept one.")
            shown = reading.letter(session, letter_id)
        return (_retried(edge, letter_id), 202) if arguments["retry"] else shown


def _retried(edge: Context, letter_id: int) -> Any:
    with session_scope(edge.engine) as session:
        entity = dead_letters_retry.retry(session, letter_id, by=acting(), correlation_id=correlation_id())
        shown = reading.letter(session, letter_id)
    edge.bell.ask([entity])
    return shown
