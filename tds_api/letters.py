"""Routes of dead letters: seen one by one or by problem, given to somebody, edited, closed, retried and taken in."""

from typing import Any

import msgspec
from flask import request

from tds_api.blueprint import Blueprint
from tds_api.callers import acting
from tds_api.correlation import correlation_id
from tds_api.edge import Edge
from tds_api.letter_batches import batch_routes
from tds_api.permissions import needs
from tds_api.schemas.common import page_schema
from tds_api.schemas.letters import (
    Assignment,
    Edition,
    Imported,
    LetterArguments,
    LetterOrGroup,
    Resolution,
    WholeLetter,
)
from tds_core.letters import deciding, reviving
from tds_core.letters.errors import WrongRecordError
from tds_core.letters.foreign import take_in
from tds_core.reading import letters as reading
from tds_core.reading.paging import Page
from tds_models.callers import Role
from tds_models.db import session_scope

MOST_IMPORTED_BYTES = 64 * 1024 * 1024


class RawEdition(msgspec.Struct):
    """An edition as it was spelled: no number in it becomes a float on the way."""

    record: msgspec.Raw = msgspec.Raw()
    changes: msgspec.Raw = msgspec.Raw()


def letter_routes(edge: Edge) -> Blueprint:
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
            return take_in(session, request.stream, by=acting())

    _decisions(routes, edge)
    batch_routes(routes, edge)
    return routes


def _decisions(routes: Blueprint, edge: Edge) -> None:
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
            deciding.assign(session, letter_id, by=acting(), **arguments)
            return reading.letter(session, letter_id)

    @routes.post("/<int:letter_id>/resolve")
    @needs(Role.OPERATOR)
    @routes.arguments(Resolution)
    @routes.response(200, WholeLetter)
    def resolve(arguments: dict[str, Any], letter_id: int) -> Any:
        """Close a letter without bringing its record over."""
        with session_scope(edge.engine) as session:
            deciding.resolve(session, letter_id, by=acting(), **arguments)
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
                deciding.edit(session, letter_id, record=bytes(given.record), by=acting())
            elif isinstance(arguments.get("changes"), dict):
                deciding.amend(session, letter_id, changes=bytes(given.changes), by=acting())
            else:
                raise WrongRecordError("Give a whole `record`, or `changes` to members of the kept one.")
            shown = reading.letter(session, letter_id)
        return (_retried(edge, letter_id), 202) if arguments["retry"] else shown


def _retried(edge: Edge, letter_id: int) -> Any:
    with session_scope(edge.engine) as session:
        entity = reviving.revive(session, letter_id, by=acting(), correlation_id=correlation_id())
        shown = reading.letter(session, letter_id)
    edge.bell.ask([entity])
    return shown
