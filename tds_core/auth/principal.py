"""The principal: an authenticated caller with its role and scopes; and the errors of authentication and permission."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tds_core.errors import TdsError
from tds_models.auth import Role


class PrincipalKind(StrEnum):
    """How a caller authenticated."""

    OPERATOR = "operator"  # logged in
    KEY = "key"
    TOKEN = "token"  # noqa: S105 (TDS_API_TOKEN of the settings)
    CLI = "cli"  # a shell on the machine of the database
    ANONYMOUS = "nobody"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller. `name`, which tables store: an operator's name, `key:PREFIX`, `token`, or the account of a shell.

    `role`: None may do nothing. `scopes`: path prefixes it is restricted to; none stands for all. `ends_at`: when the
    key expires.
    """

    kind: PrincipalKind
    name: str
    role: Role | None
    scopes: tuple[str, ...] = ()
    ends_at: datetime | None = None

    def may(self, needed: Role) -> bool:
        """Whether the role covers `needed`."""
        return self.role is not None and self.role.covers(needed)

    def may_grant(self, scopes: tuple[str, ...]) -> bool:
        """Whether a key with `scopes` would reach nothing that this caller does not reach."""
        return not self.scopes or (bool(scopes) and all(self.reaches(scope) for scope in scopes))

    def reaches(self, path: str) -> bool:
        """Whether the scopes cover `path` (without the API's prefix)."""
        return not self.scopes or any(path == scope or path.startswith(f"{scope}/") for scope in self.scopes)


ANONYMOUS = Principal(PrincipalKind.ANONYMOUS, "nobody", None)
#: The caller that sends TDS_API_TOKEN.
TOKEN = Principal(PrincipalKind.TOKEN, "token", Role.ADMIN)


def shell(account: str) -> Principal:
    """The principal of a command line that can reach the database: an administrator."""
    return Principal(PrincipalKind.CLI, account, Role.ADMIN)


class UnauthorizedError(TdsError):
    """The caller is not authenticated: no key, session or token, or none that is valid."""

    code = "unauthorized"


class LoginRefusedError(UnauthorizedError):
    """Wrong name or password, or a disabled operator; the message does not say which."""

    code = "login_refused"


class ForbiddenError(TdsError):
    """The caller is authenticated and lacks the permission."""

    code = "forbidden"


class CsrfError(ForbiddenError):
    """A browser session requests a change without its CSRF token."""

    code = "csrf_token_wrong"


class TooManyRequestsError(TdsError):
    """A rate limit is exceeded."""

    code = "too_many_requests"
    retriable = True

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class OperatorExistsError(TdsError):
    """An operator of this name exists; names are never used twice."""

    code = "name_taken"


class LastAdminError(TdsError):
    """No administrator would be left."""

    code = "last_admin"


class InvalidArgumentError(TdsError):
    """A name, password, scope or time is not acceptable; the message says what is."""

    code = "invalid_arguments"


class SessionRequiredError(TdsError):
    """The request is only for operators who logged in, not for keys."""

    code = "no_session"
