"""What can be wrong with a wish about dead letters."""

from tds_core.errors import TdsError


class LetterClosedError(TdsError):
    """The letter is closed: its record was brought over, or a person resolved it."""

    code = "dead_letter_closed"


class AlreadyRevivedError(TdsError):
    """The letter is being retried already, or waits for it in a batch."""

    code = "dead_letter_being_retried"


class LettersChangedError(TdsError):
    """The letters that are meant are not as many as the preview said."""

    code = "dead_letters_changed"


class NothingChosenError(TdsError):
    """It was not said which letters are meant."""

    code = "invalid_arguments"


class WrongRecordError(TdsError):
    """The edited record cannot stand for the letter's."""

    code = "validation"
