"""Older lists: what organisations that Zoho has not moved to a new module have in its place.

A module that is refused or empty is looked for by its older list; only where that is not there either, it stays so.
"""

from collections.abc import Callable
from dataclasses import replace

from tds_core.errors import ContractError, PermanentError, SourceError, UnexpectedAnswerError
from tds_core.sources.base import ListPage
from tds_core.sources.zoho.responses import NoSuchRecordError
from tds_models.entities.base import OlderList, Stream


def is_refusal(error: SourceError) -> bool:
    """Whether Zoho itself says that it has no such thing, or does not answer it."""
    said = (NoSuchRecordError, PermanentError, ContractError)
    return isinstance(error, said) and not isinstance(error, UnexpectedAnswerError)


def stream_of(stream: Stream, older: OlderList) -> Stream:
    """The stream that `stream` was before."""
    return replace(stream, path=older.path, module=stream.path, list_key=older.list_key, id_key=older.id_key)


def page_of(stream: Stream, page: int, *, ask: Callable[[Stream], ListPage]) -> ListPage:
    """The page that `ask` brings of `stream`, or of what it was before where its first is refused or empty.

    Raises `SourceError`.
    """
    refusal: SourceError | None = None
    found = ListPage([], has_more=False)
    try:
        found = ask(stream)
    except SourceError as error:
        if stream.older is None or page > 1 or not is_refusal(error):
            raise
        refusal = error
    if stream.older is None or page > 1 or found.rows or found.strange:
        return found
    try:
        return ask(stream_of(stream, stream.older))
    except (NoSuchRecordError, ContractError):  # it is not there either
        if refusal:
            raise refusal from None
        return found


def records_of(stream: Stream, *, ask: Callable[[Stream], ListPage]) -> dict[str, bytes]:
    """What `stream` was before holds, by id; nothing where that is not there, or `stream` itself shows records.

    Raises `SourceError`.
    """
    if stream.older is None:
        return {}
    try:
        own = ask(stream)
        if own.rows or own.strange:
            return {}
    except SourceError as error:
        if not is_refusal(error):
            raise
    try:
        return {row.source_id: row.raw for row in ask(stream_of(stream, stream.older)).rows}
    except (NoSuchRecordError, ContractError):
        return {}
