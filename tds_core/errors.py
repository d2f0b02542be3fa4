"""The tree of errors: each class is named by what to do about it and carries a stable `code`.

`tds_api.http.problems` maps the classes to HTTP statuses, `tds_api.cli.app` to exit codes. Errors that only one feature
raises are declared with that feature, as subclasses of these.
"""

from collections.abc import Mapping
from time import monotonic
from typing import Any, ClassVar


class TdsError(Exception):
    """Root of all errors. `code` is for programs and never changes; the message is for people and names the next step.

    `retriable`: the same attempt may succeed later without anything being changed.
    """

    code: ClassVar[str] = "internal_error"
    retriable: ClassVar[bool] = False


# Operation of TDS itself.


class ConfigError(TdsError):
    """A setting is missing or invalid; an operator must correct it."""

    code = "configuration_error"


class AlreadyRunningError(TdsError):
    """Another process uses this home directory; stop it or use another home."""

    code = "already_running"


class NotRunningError(TdsError):
    """Nothing runs in this home directory that could be asked."""

    code = "not_running"


class EmbeddedServerError(TdsError):
    """An embedded PostgreSQL or Redis could not be found, created, started or stopped."""

    code = "embedded_server_error"


class ProgramFailedError(TdsError):
    """A supervised program ended before it was ready; its log gives the reason."""

    code = "program_failed"


# Requests of operators and programs.


class NotFoundError(TdsError):
    """Nothing has this name or id."""

    code = "not_found"


class InvalidCursorError(TdsError):
    """The page cursor is malformed, or belongs to another list."""

    code = "invalid_cursor"


class RetiredError(TdsError):
    """The history the request needs was removed by retention."""

    code = "history_retired"


# Sources.


class SourceError(TdsError):
    """A call to a source failed, or was not made.

    `after_seconds`: how long to wait before the next call. `waits_for`: the circuit breaker whose closing ends the
    wait sooner; "" if none does. `needs_no_pause`: every process already knows, so no pause has to be stored.
    """

    code = "source_error"
    #: False for errors TDS raises itself, without a response of the source.
    is_answer: bool = True
    #: Attempts worth making, where that is fewer than TDS_MAX_ATTEMPTS.
    attempt_limit: int | None = None

    def __init__(self, message: str, *, after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds
        self.waits_for = ""
        self.needs_no_pause = False


class TransientError(SourceError):
    """No response, a broken one, or a fault of the source: the same call may succeed later. Counts as an attempt.

    `silent_since`: when (`time.monotonic`) this part of the source last responded to any process; minus infinity when
    it never did, None when no breaker counted.
    """

    code = "transient"
    retriable = True
    silent_since: float | None = None

    @property
    def silent_seconds(self) -> float | None:
        """Seconds since this part of the source last responded, up to now; None when not known."""
        return None if self.silent_since is None else monotonic() - self.silent_since


class RateError(SourceError):
    """Too many calls at once or within this minute: wait, then go on. Costs no attempt."""

    code = "rate_limited"
    retriable = True


class QuotaError(SourceError):
    """The day's quota of calls is used up. Costs no attempt."""

    code = "quota_exhausted"
    retriable = True


class AuthError(SourceError):
    """The source refuses the credentials: work waits until an operator restores access. Costs no attempt."""

    code = "auth_failed"
    retriable = True


class PermissionMissingError(AuthError):
    """The source accepts the credentials, but not for this module or record: only that waits, the rest goes on.

    `api` and `path`: the module. `scope`: the OAuth scope that permits reading it. `source_id`: the record, "" for the
    whole module. `token`: digest of the access token that is valid and was refused; None if its validity is in doubt.
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
        self.needs_no_pause = True  # other calls to the source may go on


class NotAskedError(SourceError):
    """The call for this record was not made because an earlier one failed. Costs no attempt."""

    code = "not_asked"
    retriable = True
    is_answer = False


class BreakerOpenError(SourceError):
    """A circuit breaker is open, so no call is made. `after_seconds`: until the next probe. Costs no attempt."""

    code = "breaker_open"
    retriable = True
    is_answer = False

    def __init__(self, breaker: str, message: str = "breaker open", *, after_seconds: float = 0.0) -> None:
        super().__init__(f"{breaker}: {message}", after_seconds=after_seconds)
        self.waits_for = breaker
        self.needs_no_pause = True  # the breaker stops all processes by itself, and may be closed early


#: Errors that are no verdict on the record: they snooze its work and leave its attempts alone.
SNOOZE = (RateError, QuotaError, AuthError, NotAskedError, BreakerOpenError)


class PermanentError(SourceError):
    """The source rejects this call; repeating it changes nothing."""

    code = "permanent"


class OversizedAnswerError(PermanentError):
    """The response exceeds the size limit, and would again: the record itself is too large."""

    code = "answer_too_large"


class ContractError(SourceError):
    """The response has a shape its stream does not declare, or ignores a filter: stop before the mirror is damaged."""

    code = "contract_broken"


class UnexpectedAnswerError(ContractError):
    """The response reports success and holds no record, or another one than requested.

    It concerns this call alone and is retried a few times, since a gateway may have responded.
    """

    code = "unexpected_answer"
    retriable = True
    attempt_limit = 3


# Records.


class InvalidRecordError(TdsError):
    """A record breaks the rules of its entity; the message names each field. An operator must decide.

    `record`: the record as the source sent it; None if it could not be parsed.
    """

    code = "validation"

    def __init__(self, message: str, *, record: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.record = record


class OtherKindError(InvalidRecordError):
    """The record is of another entity that shares the path: for example a contact of another type."""
