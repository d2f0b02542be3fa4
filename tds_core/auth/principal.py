"""Why somebody is not let in, or may not do what they asked for.

The caller: who asks, as what, and what that opens.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tds_core.errors import TdsError
from tds_models.auth import Role


class PrincipalKind(StrEnum):
    """How a caller made known who they are."""

    OPERATOR = "operator"  # logged in
    KEY = "key"
    TOKEN = "token"  # noqa: S105 (TDS_API_TOKEN of the settings)
    CLI = "cli"  # a shell on the machine of the database
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Principal:
    """`name` is what tables keep: an operator's name, `key:PREFIX`, `token`, the account of a shell."""

    kind: PrincipalKind
    name: str
    role: Role | None
    scopes: tuple[str, ...] = ()
    ends_at: datetime | None = None

    def may(self, needed: Role) -> bool:
        """Whether the role is enough."""
        return self.role is not None and self.role.covers(needed)

    def may_give(self, scopes: tuple[str, ...]) -> bool:
        """Whether somebody whose scopes are `scopes` could reach nothing that this caller does not."""
        return not self.scopes or (bool(scopes) and all(self.reaches(scope) for scope in scopes))

    def reaches(self, path: str) -> bool:
        """Whether the scopes open `path`, given from behind the API's prefix; without scopes all of it."""
        return not self.scopes or any(path == scope or path.startswith(f"{scope}/") for scope in self.scopes)


NOBODY = Principal(PrincipalKind.NOBODY, "nobody", None)
#: Whoever has TDS_API_TOKEN.
TOKEN = Principal(PrincipalKind.TOKEN, "token", Role.ADMIN)


def shell(account: str) -> Principal:
    """Somebody with a shell where the database's address and password are known, who may do all."""
    return Principal(PrincipalKind.CLI, account, Role.ADMIN)


class UnauthorizedError(TdsError):
    """Nobody knows who asks: no key, session or token, or none that opens anything."""

    code = "unauthorized"


class LoginRefusedError(UnauthorizedError):
    """Name and password do not belong together, or the operator is disabled; which of them is not told."""

    code = "login_refused"


class ForbiddenError(TdsError):
    """Whoever asks is known and may not do this."""

    code = "forbidden"


class CsrfError(ForbiddenError):
    """A browser's session asks for a change without the token that only our own pages know."""

    code = "csrf_token_wrong"


class TooManyRequestsError(TdsError):
    """More was asked than is allowed in this time."""

    code = "too_many_requests"
    retriable = True

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotKnownError(TdsError):
    """There is no operator of this name, no key of this prefix."""

    code = "not_found"


class TakenError(TdsError):
    """An operator of this name exists; names are never used twice."""

    code = "name_taken"


class LastAdminError(TdsError):
    """Nobody who may let others in would be left."""

    code = "last_admin"


class UnfitError(TdsError):
    """A name, password, scope or time that is not acceptable; the message says what is."""

    code = "invalid_arguments"


class NoSessionError(TdsError):
    """This is for operators who logged in, not for keys."""

    code = "no_session"


class KeyUsedOtherwiseError(TdsError):
    """The Idempotency-Key belongs to another request."""

    code = "idempotency_key_reused"


class StillAnsweringError(TdsError):
    """The first request with this Idempotency-Key has no answer yet."""

    code = "request_in_progress"
    retriable = True


class AnswerNotKeptError(TdsError):
    """The request was answered before, with a secret that was shown once and is not kept."""

    code = "answer_not_kept"
