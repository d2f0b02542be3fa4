"""The mirrored organisation: stored at the source's first response, so that no other one's records are mixed in."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import ConfigError

#: How long a check against the database is valid.
CHECK_SECONDS = 5.0


class OtherOrganizationError(ConfigError):
    """The settings name another organisation than the mirrored one: nothing is read or written."""

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
    """The id of the mirrored organisation; None before the first response."""
    organization_id: str | None = session.execute(_MIRRORED, {"source": source}).scalar()
    return organization_id


def check(session: Session, source: str, organization_id: str) -> None:
    """Raise `OtherOrganizationError` if another organisation than `organization_id` ("": any) is mirrored."""
    known = mirrored(session, source)
    if known and organization_id and known != organization_id:
        raise OtherOrganizationError(
            f"This database mirrors organisation {known}, and ZOHO_ORGANIZATION_ID is {organization_id}: nothing is"
            f" read, written or deleted. Set ZOHO_ORGANIZATION_ID={known} again; or give the other organisation a"
            " database of its own (TDS_DATABASE_URL, or another TDS_HOME); or, if the rows are its own all the same:"
            " tds zoho adopt"
        )


def remember(session: Session, source: str, organization_id: str) -> None:
    """Store `organization_id` as the mirrored organisation, unless there is one already."""
    session.execute(_REMEMBER, {"source": source, "organization_id": organization_id})


def adopt(session: Session, source: str, organization_id: str) -> str | None:
    """Replace the mirrored organisation by `organization_id`. Returns the previous one."""
    before = mirrored(session, source)
    session.execute(_ADOPT, {"source": source, "organization_id": organization_id})
    return before


class OrganizationGuard:
    """Checks, at most every CHECK_SECONDS, that this process's settings name the mirrored organisation."""

    def __init__(self, scope: Callable[[], AbstractContextManager[Session]], source: str, organization_id: str) -> None:
        self._scope, self._source, self._organization_id = scope, source, organization_id
        self._refusal: OtherOrganizationError | None = None
        self._checked_at = float("-inf")

    def refusal(self) -> OtherOrganizationError | None:
        """The error if this process must not touch the mirror, else None."""
        if self._organization_id and time.monotonic() - self._checked_at > CHECK_SECONDS:
            with self._scope() as session:
                try:
                    check(session, self._source, self._organization_id)
                    self._refusal = None
                except OtherOrganizationError as error:
                    self._refusal = error
            self._checked_at = time.monotonic()
        return self._refusal
