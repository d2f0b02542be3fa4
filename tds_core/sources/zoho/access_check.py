"""Verification of a refusal: whether it is of the token, the organisation, a module, or one record of it.

What is known of a refusal before Zoho is asked again: whether it stands, and what a token was granted.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import SNOOZE, NotAskedError, PermanentError, PermissionMissingError, SourceError, TransientError
from tds_core.sources.zoho.api_call import ApiCall
from tds_core.sources.zoho.oauth import covers, scope_of
from tds_core.sources.zoho.organizations import ORGANIZATIONS, read_organizations
from tds_core.sources.zoho.responses import (
    CHECK_ORGANIZATION,
    NoSuchRecordError,
    OrganizationRefusedError,
    TokenRefusedError,
)
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
class RefusalStatus:
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


class KnownRefusals:
    """What all processes know of refusals; without a `scope`, which opens a short transaction, nobody knows any."""

    def __init__(self, scope: Callable[[], AbstractContextManager[Session]] | None = None) -> None:
        self._scope = scope

    def standing(self, *, api: str, path: str, source_id: str, token: str) -> RefusalStatus:
        """How it stands with `path` of an API, or one of its records, for an access token."""
        if self._scope is None:
            return RefusalStatus()
        params = {"api": api, "path": path, "source_id": source_id, "window": RENEWAL_WINDOW_SECONDS}
        with self._scope() as session:
            row: Any = session.execute(_LOOK, params).one()
        was_refused = row.refused_token is not None and bytes(row.refused_token) == token_digest(token)
        is_outside = row.scopes is not None and not covers(row.scopes, scope_of(api, path))
        is_of_record = bool(row.source_id) and not is_outside
        return RefusalStatus(was_refused or is_outside, row.is_known, row.renewal_count or 0, is_of_record)


def permission_missing(
    refused: SourceError, *, api: str, path: str, source_id: str, token: str | None
) -> PermissionMissingError:
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
        says, api=api, path=path, scope=scope, source_id=source_id, token=token_digest(token) if token else None
    )


def token_digest(token: str) -> bytes:
    """What a token may be known by at rest."""
    return hashlib.sha256(token.encode()).digest()


Ask = Callable[[ApiCall, str, str], bytes]

#: What shows whether a module can be read at all.
ONE_ROW = {"page": "1", "per_page": "1"}
#: So many records of a module refused in a row, and none read, and it is the module that cannot be read.
MOST_REFUSED_SINGLY = 5


class Tokens(Protocol):
    """Where access tokens come from."""

    def current(self) -> tuple[str, str]:
        """A token that is still good, and the API host it is for."""
        ...

    def renew(self, refused: str) -> tuple[str, str]:
        """Another token than `refused`."""
        ...

    def is_new(self, token: str) -> bool:
        """Whether Zoho gave it at the last `renew`; one that another process had got may have died since."""
        ...


class AccessCheck:
    """Finds out what a refusal is of, for one client. `ask` asks a question of a host with a token, `aside` one that is
    no answer to what was asked.
    """

    def __init__(
        self,
        ask: Ask,
        aside: Ask,
        tokens: Tokens,
        permissions: KnownRefusals,
        *,
        organization_id: str,
    ) -> None:
        self._ask, self._ask_aside, self._tokens, self._permissions = ask, aside, tokens, permissions
        self._organization_id = organization_id
        # Records in a row that were refused alone, by module: after some it is taken for the module.
        self._refused_singly: Counter[tuple[str, str]] = Counter()
        # What was last read, and what of another module before it.
        self._witness: ApiCall | None = None
        self._witness_before: ApiCall | None = None

    def note_good(self, question: ApiCall) -> None:
        """Remember what could be read, to tell by it whether a token lives that is refused for something else."""
        if self._refused_singly and question.source_id:
            self._refused_singly.pop((question.api, question.group), None)
        if question.method == "GET":
            last = self._witness
            if last is not None and (last.api, last.group) != (question.api, question.group):
                self._witness_before = last
            self._witness = question

    def _standing(self, question: ApiCall, token: str) -> RefusalStatus:
        return self._permissions.standing(
            api=question.api, path=question.group, source_id=question.source_id, token=token
        )

    def ask_again(self, question: ApiCall, host: str, token: str, refused: SourceError) -> bytes:
        """Ask again, with this token if it lives and with another if it does not.

        A token is renewed for a refusal only where that may help: Zoho gives ten in ten minutes.
        """
        while True:
            token, host, is_living = self._another(question, host, token, refused)
            try:
                return self._ask(question, host, token)
            except TokenRefusedError as again:
                if is_living or self._tokens.is_new(token):
                    raise self._narrowed(question, host, token, again) from None
                refused = again

    def _another(self, question: ApiCall, host: str, token: str, refused: SourceError) -> tuple[str, str, bool]:
        """The token to ask again with, its host, and whether it is the refused one, which lives nevertheless."""
        standing = self._standing(question, token)
        if standing.stands:
            raise self._missing(question, token, refused, is_record=standing.is_of_record)
        if standing.is_doubtful and self._is_let_in(question, host, token, to_organization=False):
            return token, host, True
        if standing.renewal_count >= MOST_RENEWALS:
            raise self._missing(question, None, refused)
        try:
            return *self._tokens.renew(token), False
        except (*SNOOZE, TransientError):
            if standing.is_doubtful or not self._is_let_in(question, host, token, to_organization=False):
                raise
            return token, host, True

    def judged(self, question: ApiCall, host: str, token: str, refused: SourceError) -> SourceError:
        """What it means that the organisation was refused: it is another's, or only this part of it is out of reach."""
        standing = self._standing(question, token)
        if standing.stands:
            return self._missing(question, token, refused, is_record=standing.is_of_record)
        if not self._is_let_in(question, host, token, to_organization=True):
            return refused
        return self._narrowed(question, host, token, refused)

    def _narrowed(self, question: ApiCall, host: str, token: str, refused: SourceError) -> SourceError:
        """The error for a refusal with a token that lives: the module's, or if the module can be read the record's."""
        module = (question.api, question.group)
        is_list = question.is_list or question.path == question.group
        if is_list or question.method != "GET" or self._refused_singly[module] >= MOST_REFUSED_SINGLY:
            return self._missing(question, token, refused)
        try:
            self._ask_aside(ApiCall(*module, question.group, ONE_ROW, question.traffic), host, token)
        except (TokenRefusedError, OrganizationRefusedError):
            return self._missing(question, token, refused)
        except SourceError as error:
            return not_asked_after(error)
        if not question.path.startswith(f"{question.group}/"):
            return PermanentError(str(refused))  # one of a batch: which one, the single reads tell
        if not question.source_id:
            return self._missing(question, token, refused)
        self._refused_singly[module] += 1
        return self._missing(question, token, refused, is_record=True)

    def _missing(
        self, question: ApiCall, token: str | None, refused: SourceError, *, is_record: bool = False
    ) -> SourceError:
        source_id = question.source_id if is_record else ""
        return permission_missing(refused, api=question.api, path=question.group, source_id=source_id, token=token)

    def _is_let_in(self, question: ApiCall, host: str, token: str, *, to_organization: bool) -> bool:
        """Whether a token is good for anything, or to the organisation: by what it reaches, or by what it read before.

        Raises NotAskedError while that cannot be told.
        """
        try:
            asked = ApiCall("books", ORGANIZATIONS, ORGANIZATIONS, {}, question.traffic)
            there = {each.id for each in read_organizations(self._ask_aside(asked, host, token))}
        except (TokenRefusedError, OrganizationRefusedError):
            return False
        except (*SNOOZE, TransientError) as error:
            raise not_asked_after(error) from None
        except SourceError:  # no answer to go by
            return self._reads_another(question, host, token)
        return not to_organization or self._organization_id in there

    def _reads_another(self, question: ApiCall, host: str, token: str) -> bool:
        """Whether what was last read of another module can be read still."""
        module = (question.api, question.group)
        known = (self._witness, self._witness_before)
        witness = next((each for each in known if each and (each.api, each.group) != module), None)
        if witness is None:
            return False
        try:
            self._ask_aside(replace(witness, traffic=question.traffic), host, token)
        except NoSuchRecordError:
            return True
        except (TokenRefusedError, OrganizationRefusedError):
            return False
        except SourceError as error:
            raise not_asked_after(error) from None
        return True


def not_asked_after(error: SourceError) -> SourceError:
    """What `error` means for what was to be asked for after it."""
    if isinstance(error, SNOOZE):
        return error
    rest = NotAskedError(f"not asked for, after: {error}", after_seconds=error.after_seconds)
    rest.waits_for, rest.needs_no_pause = error.waits_for, bool(error.waits_for)
    return rest
