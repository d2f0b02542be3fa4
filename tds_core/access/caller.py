"""The caller: who asks, as what, and what that opens."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tds_models.callers import Role


class CallerKind(StrEnum):
    """How a caller made known who they are."""

    OPERATOR = "operator"  # logged in
    KEY = "key"
    TOKEN = "token"  # noqa: S105 (TDS_API_TOKEN of the settings)
    CLI = "cli"  # a shell on the machine of the database
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is what tables keep: an operator's name, `key:PREFIX`, `token`, the account of a shell."""

    kind: CallerKind
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


NOBODY = Caller(CallerKind.NOBODY, "nobody", None)
#: Whoever has TDS_API_TOKEN.
TOKEN = Caller(CallerKind.TOKEN, "token", Role.ADMIN)


def shell(account: str) -> Caller:
    """Somebody with a shell where the database's address and password are known, who may do all."""
    return Caller(CallerKind.CLI, account, Role.ADMIN)
