"""What can be wrong with a question: what it asks for is not there, or its page mark is not ours."""

from tds_core.errors import TdsError


class NotFoundError(TdsError):
    """Nothing has this name or id."""

    code = "not_found"


class InvalidCursorError(TdsError):
    """The cursor was not given out by TDS, or for another list."""

    code = "invalid_cursor"


class RetiredError(TdsError):
    """The history that would be needed was retired."""

    code = "history_retired"
