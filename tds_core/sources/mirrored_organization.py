"""The organisation a mirror is of: remembered at the first answer, so that no other's records come in beside it."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import ConfigError

#: What the database says is believed for so long.
LOOK_SECONDS = 5.0


class OtherOrganizationError(ConfigError):
    """The settings name another organisation than the one this database mirrors: nothing is read or written."""

    code = "other_organization"


_MIRRORED = text("select organization_id from tds_mirrored_organizations where source = :source")
_REMEMBER = text("""
insert into tds_mirrored_organizations (source, organization_id) values (:source, :organization_id)
on conflict do nothing
""")
_ADOPT = text("""
insert into tds_mirrored_organizations (source, organization_id) values (:source, :organization_id)
on conflict (source) do update set organization_id = excluded.organization_id, since = now()
""")


def mirrored(session: Session, source: str) -> str | None:
    """The organisation whose records the mirror holds; None before the first answer."""
    found: str | None = session.execute(_MIRRORED, {"source": source}).scalar()
    return found


def check(session: Session, source: str, organization_id: str) -> None:
    """Raise `OtherOrganizationError` when the mirror is of another organisation than `organization_id` ("": any)."""
    known = mirrored(session, source)
    if known and organization_id and known != organization_id:
        raise OtherOrganizationError(
            f"This database mirrors organisation {known}, and ZOHO_ORGANIZATION_ID is {organization_id}: nothing is"
            f" read, written or deleted. Set ZOHO_ORGANIZATION_ID={known} again; or give the other organisation a"
            " database of its own (TDS_DATABASE_URL, or another TDS_HOME); or, if the rows are its own all the same:"
            " tds zoho adopt"
        )


def remember(session: Session, source: str, organization_id: str) -> None:
    """The source answered for `organization_id`: from now on the mirror is of it, unless it is of one already."""
    session.execute(_REMEMBER, {"source": source, "organization_id": organization_id})


def adopt(session: Session, source: str, organization_id: str) -> str | None:
    """Let the mirror be of `organization_id` from now on. Returns whose it was."""
    before = mirrored(session, source)
    session.execute(_ADOPT, {"source": source, "organization_id": organization_id})
    return before


class OrganizationGuard:
    """Whether this process's settings name the mirror's organisation; asks the database again after some seconds."""

    def __init__(self, scope: Callable[[], AbstractContextManager[Session]], source: str, organization_id: str) -> None:
        self._scope, self._source, self._organization_id = scope, source, organization_id
        self._refusal: OtherOrganizationError | None = None
        self._looked_at = float("-inf")

    def refusal(self) -> OtherOrganizationError | None:
        """Why this process must leave the mirror alone; None when it need not."""
        if self._organization_id and time.monotonic() - self._looked_at > LOOK_SECONDS:
            with self._scope() as session:
                try:
                    check(session, self._source, self._organization_id)
                    self._refusal = None
                except OtherOrganizationError as error:
                    self._refusal = error
            self._looked_at = time.monotonic()
        return self._refusal
