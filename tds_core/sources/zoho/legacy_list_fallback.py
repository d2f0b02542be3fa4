"""Legacy lists: the module that organisations have which Zoho has not migrated to the new one.

If a list is refused or empty, the legacy list is read in its place; if that fails as well, the first result stands.
"""

from collections.abc import Callable
from dataclasses import replace

from tds_core.errors import ContractError, PermanentError, SourceError, UnexpectedAnswerError
from tds_core.sources.base import ListPage
from tds_core.sources.zoho.responses import NoSuchRecordError
from tds_models.entities.declaration import OlderList, Stream


def is_refusal(error: SourceError) -> bool:
    """Whether Zoho itself rejects the call: no such record or module, or a call it does not take."""
    return isinstance(error, (NoSuchRecordError, PermanentError, ContractError)) and not isinstance(
        error, UnexpectedAnswerError
    )


def stream_of(stream: Stream, older: OlderList) -> Stream:
    """The legacy stream of `stream`."""
    return replace(stream, path=older.path, module=stream.path, list_key=older.list_key, id_key=older.id_key)


def page_of(stream: Stream, page: int, *, ask: Callable[[Stream], ListPage]) -> ListPage:
    """The page `ask` returns for `stream`, or for its legacy stream where the first page is refused or empty.

    Raises `SourceError`.
    """
    refusal: SourceError | None = None
    result = ListPage([], has_more=False)
    try:
        result = ask(stream)
    except SourceError as error:
        if stream.older is None or page > 1 or not is_refusal(error):
            raise
        refusal = error
    if stream.older is None or page > 1 or result.rows or result.strange:
        return result
    try:
        return ask(stream_of(stream, stream.older))
    except (NoSuchRecordError, ContractError):  # there is no legacy list either
        if refusal:
            raise refusal from None
        return result


def records_of(stream: Stream, *, ask: Callable[[Stream], ListPage]) -> dict[str, bytes]:
    """Records of the legacy list by id; empty if there is none, or if `stream` itself lists records.

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
