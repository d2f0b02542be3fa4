"""The tree of errors: each is named by what to do about it, and meets HTTP and exit codes in one table.

What can be wrong with a question: what it asks for is not there, or its page mark is not ours.

What can go wrong between TDS and a source, named by what to do about it.
"""

from collections.abc import Mapping
from time import monotonic
from typing import Any, ClassVar


class TdsError(Exception):
    """The root: `code` is stable and for programs, the message is for people and says how to mend it."""

    code: ClassVar[str] = "internal_error"
    retriable: ClassVar[bool] = False


class ConfigError(TdsError):
    """A setting is missing or wrong; an operator must mend it before trying again."""

    code = "configuration_error"


class AlreadyRunningError(TdsError):
    """Another process owns this home directory; stop it or use another home."""

    code = "already_running"


class EmbeddedServerError(TdsError):
    """An embedded PostgreSQL or Redis could not be found, made, started or stopped."""

    code = "embedded_server_error"


class ProgramFailedError(TdsError):
    """A supervised program ended before it was ready; its log says why."""

    code = "program_failed"


class NotFoundError(TdsError):
    """Nothing has this name or id."""

    code = "not_found"


class InvalidCursorError(TdsError):
    """The cursor was not given out by TDS, or for another list."""

    code = "invalid_cursor"


class RetiredError(TdsError):
    """The history that would be needed was retired."""

    code = "history_retired"


class SourceError(TdsError):
    """Something went wrong while asking a source. `after_seconds`: how long the source wants to be left alone.

    `is_answer` is False for what we say ourselves, without having asked. `waits_for` names the circuit breaker whose
    closing ends the wait, if one does.
    """

    code = "source_error"
    is_answer: bool = True
    #: So many attempts are worth it, where that is fewer than work is given in general.
    most_attempts: int | None = None

    def __init__(self, message: str, *, after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds
        self.waits_for = ""
        #: All processes know already, so nobody has to be told to leave the source alone.
        self.heeded = False


class TransientError(SourceError):
    """No answer, a broken one, or the source's own fault: the same question may do better later.

    `silent_since`: the moment (`time.monotonic`) when this part of the source had last answered anybody; minus infinity
    when it never did, `None` when nobody keeps count.
    """

    code = "transient"
    retriable = True
    silent_since: float | None = None

    @property
    def silent_seconds(self) -> float | None:
        """For how long nobody was answered, as far as this process knows now: what it does meanwhile counts, too."""
        return None if self.silent_since is None else monotonic() - self.silent_since


class RateError(SourceError):
    """Too many questions at once or in this minute: leave the source alone, then go on. Costs no attempt."""

    code = "rate_limited"
    retriable = True


class QuotaError(SourceError):
    """The day's questions are used up. Costs no attempt."""

    code = "quota_exhausted"
    retriable = True


class AuthError(SourceError):
    """The source does not let us in: work waits, without using attempts, until an operator mends the access."""

    code = "auth_failed"
    retriable = True


class PermissionMissingError(AuthError):
    """The source lets us in, and not read this module, or this record of it: that alone waits, all else goes on.

    `api` and `path`: the module. `scope`: what the source calls the right to read it. `source_id`: the record, where it
    is one alone. `token`: a digest of the token that was good and refused for it; None where that is in doubt.
    """

    code = "permission_missing"

    def __init__(
        self,
        message: str,
        *,
        api: str,
        path: str,
        scope: str,
        source_id: str = "",
        token: bytes | None = None,
        after_seconds: float = 0.0,
    ) -> None:
        super().__init__(message, after_seconds=after_seconds)
        self.api, self.path, self.scope, self.source_id, self.token = api, path, scope, source_id, token
        self.heeded = True  # nobody has to leave the source alone for it


class NotAskedError(SourceError):
    """The source failed before this record's turn came: nothing is known about it. Costs no attempt."""

    code = "not_asked"
    retriable = True
    is_answer = False


class BreakerOpenError(SourceError):
    """This part of the source fails and is not asked. `after_seconds`: the time to the next probe. Costs no attempt."""

    code = "breaker_open"
    retriable = True
    is_answer = False

    def __init__(self, breaker: str, message: str = "breaker open", *, after_seconds: float = 0.0) -> None:
        super().__init__(f"{breaker}: {message}", after_seconds=after_seconds)
        self.waits_for = breaker
        self.heeded = True  # the breaker stops everybody by itself, and may be closed early


class PermanentError(SourceError):
    """The source refuses this very question; asking again changes nothing."""

    code = "permanent"


class OversizedAnswerError(PermanentError):
    """The answer is larger than TDS takes; that is the record's own, and asking again changes nothing."""

    code = "answer_too_large"


class ContractError(SourceError):
    """The source answered in a shape its stream does not declare, or ignored a filter: stop before harm is done."""

    code = "contract_broken"


class UnexpectedAnswerError(ContractError):
    """The source says that all is well and sends something else than was asked for: no record, or another one.

    It is about this question alone, and is asked again a few times, for a gateway may have answered.
    """

    code = "unexpected_answer"
    retriable = True
    most_attempts = 3


class InvalidRecordError(TdsError):
    """A record breaks the rules of its entity; the message names each field. It needs a person.

    `said`: the record, where it could be read at all.
    """

    code = "validation"

    def __init__(self, message: str, *, said: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.said = said


class OtherKindError(InvalidRecordError):
    """The record is of another entity of its path: a contact of another type, say."""


#: Errors that say nothing about the record: they put work off and leave its attempts alone.
SNOOZE = (RateError, QuotaError, AuthError, NotAskedError, BreakerOpenError)
