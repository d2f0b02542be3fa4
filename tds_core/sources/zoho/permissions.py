"""What is known of a refusal before Zoho is asked again: whether it stands, and what a token was granted."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sources.errors import PermissionMissingError, SourceError
from tds_core.sources.zoho.answers import CHECK_ORGANIZATION
from tds_core.sources.zoho.oauth import covers, scope_of
from tds_core.sources.zoho.tokens import RENEWAL_WINDOW_SECONDS

#: So many tokens that should have lived may be renewed in ten minutes, of the ten Zoho gives in all.
MOST_RENEWALS = 4

_LOOK = text("""
select t.scopes, p.refused_token, p.path is not null as is_known, coalesce(p.source_id, '') as source_id,
       case when t.renewals_since > clock_timestamp() - make_interval(secs => :window) then t.renewal_count else 0 end
           as renewal_count
from (select cast(:api as text) as api, cast(:path as text) as path) as asked
left join tds_source_tokens t on t.source = 'zoho'
left join tds_missing_permissions p on p.source = 'zoho' and p.api = asked.api and p.path = asked.path
    and p.source_id = any(array['', cast(:source_id as text)])
order by p.source_id limit 1
""")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a refusal stands. `stands`: the very token was refused for this before, or was never granted it; with
    `is_of_record` for the record alone.

    `is_known`: this was refused before, with whatever token. `renewal_count`: tokens renewed of late for being refused.
    """

    stands: bool = False
    is_known: bool = False
    renewal_count: int = 0
    is_of_record: bool = False

    @property
    def is_doubtful(self) -> bool:
        """Whether another token would hardly do better, so that this one is looked at first."""
        return self.is_known or self.renewal_count > 0


class Permissions:
    """What all processes know of refusals; without a `scope`, which opens a short transaction, nobody knows any."""

    def __init__(self, scope: Callable[[], AbstractContextManager[Session]] | None = None) -> None:
        self._scope = scope

    def standing(self, *, api: str, path: str, source_id: str, token: str) -> Standing:
        """How it stands with `path` of an API, or one of its records, for an access token."""
        if self._scope is None:
            return Standing()
        given = {"api": api, "path": path, "source_id": source_id, "window": RENEWAL_WINDOW_SECONDS}
        with self._scope() as session:
            row: Any = session.execute(_LOOK, given).one()
        was_refused = row.refused_token is not None and bytes(row.refused_token) == digest(token)
        is_outside = row.scopes is not None and not covers(row.scopes, scope_of(api, path))
        is_of_record = bool(row.source_id) and not is_outside
        return Standing(was_refused or is_outside, row.is_known, row.renewal_count or 0, is_of_record)


def missing(refused: SourceError, *, api: str, path: str, source_id: str, token: str | None) -> PermissionMissingError:
    """The error of a module, or with `source_id` of one record, that may not be read; `token` None: in doubt."""
    scope, said = scope_of(api, path), f"{str(refused).removesuffix(CHECK_ORGANIZATION).rstrip(' .')}."
    module = f"{path} of {api.capitalize()}"
    if source_id:
        says = f"{said} Zoho shows this connection other {module}, and not {source_id}: its user lacks the right to it."
    else:
        says = (
            f"{said} Zoho lets this connection in, and not read {module}: check its scopes for {scope} (and add it:"
            " tds zoho connect), and the rights of its user there (then: tds zoho retry)."
        )
    return PermissionMissingError(
        says, api=api, path=path, scope=scope, source_id=source_id, token=digest(token) if token else None
    )


def digest(token: str) -> bytes:
    """What a token may be known by at rest."""
    return hashlib.sha256(token.encode()).digest()
