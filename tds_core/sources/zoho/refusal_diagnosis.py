"""Diagnosis of an authorisation failure at Zoho: it concerns the token, the organisation, a module, or one record.

`KnownRefusals` reads earlier refusals and the granted scopes from the database; only where these do not decide it,
`RefusalDiagnosis` makes further calls.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import (
    SNOOZE,
    NotAskedError,
    PermanentError,
    PermissionMissingError,
    RateError,
    SourceError,
    TransientError,
)
from tds_core.sources.zoho.api_request import ApiCall
from tds_core.sources.zoho.oauth import covers, scope_of
from tds_core.sources.zoho.organizations import ORGANIZATIONS, read_organizations
from tds_core.sources.zoho.responses import (
    CHECK_ORGANIZATION,
    NoSuchRecordError,
    OrganizationRefusedError,
    TokenRefusedError,
)
from tds_core.sources.zoho.tokens import RENEWAL_WINDOW_SECONDS

#: How many tokens may be renewed for refusals in ten minutes, where it is in doubt whether one helps, and where the
#: token is known to be dead. Zoho issues ten in that time.
MAX_RENEWALS_IN_DOUBT, MAX_RENEWALS = 4, 8
ORGANIZATIONS_SCOPE = scope_of("books", "users")  # that of the settings

_READ_STATUS = text("""
select t.scopes, p.refused_token, p.path is not null as is_known, coalesce(p.source_id, '') as source_id,
       case when t.renewals_since > clock_timestamp() - make_interval(secs => :window) then t.renewal_count else 0 end
           as renewal_count,
       extract(epoch from t.renewals_since + make_interval(secs => :window) - clock_timestamp())::float8 as window_left,
       exists (select from tds_missing_permissions where source = 'zoho' and scope = :settings) as lacks_settings
from (select cast(:api as text) as api, cast(:path as text) as path) as asked
left join tds_source_tokens t on t.source = 'zoho'
left join tds_missing_permissions p on p.source = 'zoho' and p.api = asked.api and p.path = asked.path
    and p.source_id = any(array['', cast(:source_id as text)])
order by p.source_id limit 1
""")


@dataclass(frozen=True, slots=True)
class RefusalStatus:
    """What is known about a refusal.

    `stands`: this token was refused for it before, or never granted its scope; `is_of_record`: for the record alone.
    `is_known`: it was refused before, with any token. `renewal_count`: tokens renewed lately because of a refusal;
    counted anew after `window_left_seconds`. `may_list_organizations`: that scope was granted, and nothing under it is
    refused, so that a token which `/organizations` refuses is dead.
    """

    stands: bool = False
    is_known: bool = False
    renewal_count: int = 0
    is_of_record: bool = False
    window_left_seconds: float = 0.0
    may_list_organizations: bool = False

    @property
    def is_doubtful(self) -> bool:
        """Whether a new token would hardly help, so that this one is checked first."""
        return self.is_known or self.renewal_count > 0


class KnownRefusals:
    """Refusals that any process recorded. `scope` opens a short transaction; without one, none are known."""

    def __init__(self, scope: Callable[[], AbstractContextManager[Session]] | None = None) -> None:
        self._scope = scope

    def status(self, *, api: str, path: str, source_id: str, token: str) -> RefusalStatus:
        """What is known about a refusal of `path` of an API, or of one of its records, for an access token."""
        if self._scope is None:
            return RefusalStatus()
        params: dict[str, Any] = {"api": api, "path": path, "source_id": source_id}
        params |= {"window": RENEWAL_WINDOW_SECONDS, "settings": ORGANIZATIONS_SCOPE}
        with self._scope() as session:
            row: Any = session.execute(_READ_STATUS, params).one()
        was_refused = row.refused_token is not None and bytes(row.refused_token) == token_digest(token)
        is_outside = row.scopes is not None and not covers(row.scopes, scope_of(api, path))
        is_of_record = bool(row.source_id) and not is_outside
        return RefusalStatus(
            stands=was_refused or is_outside,
            is_known=row.is_known,
            renewal_count=row.renewal_count or 0,
            is_of_record=is_of_record,
            window_left_seconds=max(0.0, row.window_left or 0.0),
            may_list_organizations=(
                row.scopes is not None and covers(row.scopes, ORGANIZATIONS_SCOPE) and not row.lacks_settings
            ),
        )


def permission_missing(
    refused: SourceError, *, api: str, path: str, source_id: str, token: str | None
) -> PermissionMissingError:
    """The error of a module, or with `source_id` of one record, that may not be read; `token`: None if in doubt."""
    scope, refusal = scope_of(api, path), f"{str(refused).removesuffix(CHECK_ORGANIZATION).rstrip(' .')}."
    module = f"{path} of {api.capitalize()}"
    if source_id:
        message = (
            f"{refusal} Zoho shows this connection other {module}, and not {source_id}: its user lacks the right to it."
        )
    else:
        message = (
            f"{refusal} Zoho lets this connection in, and not read {module}: check its scopes for {scope} (and add it:"
            " tds zoho connect), and the rights of its user there (then: tds zoho retry)."
        )
    return PermissionMissingError(
        message, api=api, path=path, scope=scope, source_id=source_id, token=token_digest(token) if token else None
    )


def token_digest(token: str) -> bytes:
    """The digest by which a token is recognised in the database."""
    return hashlib.sha256(token.encode()).digest()


Ask = Callable[[ApiCall, str, str], bytes]

#: Parameters of the list call that shows whether a module can be read at all.
ONE_ROW = {"page": "1", "per_page": "1"}
#: After so many refused records of a module in a row, and none read, the module counts as refused.
MAX_REFUSED_RECORDS = 5


class Tokens(Protocol):
    """A source of access tokens; see `tokens.TokenStore`."""

    def current(self) -> tuple[str, str]:
        """A valid token and its API host."""
        ...

    def renew(self, refused: str) -> tuple[str, str]:
        """A token other than `refused`, and its API host."""
        ...

    def stored(self, *, other_than: str) -> tuple[str, str] | None:
        """A token that another process has renewed meanwhile, and its API host."""
        ...

    def is_new(self, token: str) -> bool:
        """Whether Zoho issued it at the last `renew`; one of another process may have ended since."""
        ...


class RefusalDiagnosis:
    """Determines what a refusal concerns, for one client.

    `ask` makes a call to a host with a token; `probe` does the same for calls that only serve this check.
    """

    def __init__(
        self,
        ask: Ask,
        probe: Ask,
        tokens: Tokens,
        permissions: KnownRefusals,
        *,
        organization_id: str,
    ) -> None:
        self._ask, self._probe, self._tokens, self._known = ask, probe, tokens, permissions
        self._organization_id = organization_id
        # Refused records in a row, by module.
        self._refused_singly: Counter[tuple[str, str]] = Counter()
        # The last successful read, and the last one of another module before it.
        self._last_read: ApiCall | None = None
        self._read_before: ApiCall | None = None

    def note_success(self, call: ApiCall) -> None:
        """Remember a successful read; repeating it later shows whether a refused token is still valid."""
        if self._refused_singly and call.source_id:
            self._refused_singly.pop((call.api, call.group), None)
        if call.method == "GET":
            last = self._last_read
            if last is not None and (last.api, last.group) != (call.api, call.group):
                self._read_before = last
            self._last_read = call

    def _status(self, call: ApiCall, token: str) -> RefusalStatus:
        return self._known.status(api=call.api, path=call.group, source_id=call.source_id, token=token)

    def ask_again(self, call: ApiCall, host: str, token: str, refused: SourceError) -> bytes:
        """Repeat a call whose token was refused: with the same token if it is valid, else with a new one.

        A token is renewed only where that may help, since Zoho issues ten in ten minutes. Raises `SourceError`.
        """
        while True:
            token, host, is_valid = self._choose_token(call, host, token, refused)
            try:
                return self._ask(call, host, token)
            except TokenRefusedError as again:
                if is_valid or self._tokens.is_new(token):
                    raise self._module_or_record(call, host, token, again) from None
                refused = again

    def _choose_token(self, call: ApiCall, host: str, token: str, refused: SourceError) -> tuple[str, str, bool]:
        """The token to repeat the call with, its host, and whether it is the refused one, which is valid."""
        status = self._status(call, token)
        if status.stands:
            raise self._missing(call, token, refused, is_record=status.is_of_record)
        if status.is_doubtful and self._is_valid(call, host, token, status, to_organization=False):
            return token, host, True
        if status.renewal_count >= (MAX_RENEWALS if status.may_list_organizations else MAX_RENEWALS_IN_DOUBT):
            if renewed := self._tokens.stored(other_than=token):
                return *renewed, False
            raise self._no_more_tokens(call, status, refused)
        try:
            return *self._tokens.renew(token), False
        except (*SNOOZE, TransientError):
            if status.is_doubtful or not self._is_valid(call, host, token, status, to_organization=False):
                raise
            return token, host, True

    def _no_more_tokens(self, call: ApiCall, status: RefusalStatus, refused: SourceError) -> SourceError:
        """The error of a call for which no other token is asked: Zoho gives too few."""
        if not status.may_list_organizations:
            return self._missing(call, None, refused)
        return RateError(
            f"{status.renewal_count} access tokens ended before their time within ten minutes, and Zoho issues ten:"
            " the next is asked for when these are over",
            after_seconds=status.window_left_seconds,
        )

    def organization_refused(self, call: ApiCall, host: str, token: str, refused: SourceError) -> SourceError:
        """The error for a refused organisation: the whole organisation, a module or a record is out of reach."""
        status = self._status(call, token)
        if status.stands:
            return self._missing(call, token, refused, is_record=status.is_of_record)
        if not self._is_valid(call, host, token, status, to_organization=True):
            return refused
        return self._module_or_record(call, host, token, refused)

    def _module_or_record(self, call: ApiCall, host: str, token: str, refused: SourceError) -> SourceError:
        """The error for a refusal with a valid token: of the record if the module can be read, else of the module."""
        module = (call.api, call.group)
        is_list = call.is_list or call.path == call.group
        if is_list or call.method != "GET" or self._refused_singly[module] >= MAX_REFUSED_RECORDS:
            return self._missing(call, token, refused)
        try:
            self._probe(ApiCall(*module, call.group, ONE_ROW, call.traffic), host, token)
        except (TokenRefusedError, OrganizationRefusedError):
            return self._missing(call, token, refused)
        except SourceError as error:
            return not_asked_after(error)
        if not call.path.startswith(f"{call.group}/"):
            return PermanentError(str(refused))  # one record of a batch; single reads will show which
        if not call.source_id:
            return self._missing(call, token, refused)
        self._refused_singly[module] += 1
        return self._missing(call, token, refused, is_record=True)

    def _missing(
        self, call: ApiCall, token: str | None, refused: SourceError, *, is_record: bool = False
    ) -> SourceError:
        source_id = call.source_id if is_record else ""
        return permission_missing(refused, api=call.api, path=call.group, source_id=source_id, token=token)

    def _is_valid(self, call: ApiCall, host: str, token: str, status: RefusalStatus, *, to_organization: bool) -> bool:
        """Whether a token is valid at all, or for the organisation: by the list of organisations, or an earlier read.

        Raises `NotAskedError` while that cannot be determined.
        """
        try:
            probe = ApiCall("books", ORGANIZATIONS, ORGANIZATIONS, {}, call.traffic)
            reachable = {each.id for each in read_organizations(self._probe(probe, host, token))}
        except OrganizationRefusedError:
            return False
        except TokenRefusedError:  # the list of organisations has a scope of its own
            return not status.may_list_organizations and self._reads_another(call, host, token)
        except (*SNOOZE, TransientError) as error:
            raise not_asked_after(error) from None
        except SourceError:  # the list of organisations decides nothing
            return self._reads_another(call, host, token)
        return not to_organization or self._organization_id in reachable

    def _reads_another(self, call: ApiCall, host: str, token: str) -> bool:
        """Whether the last successful read of another module succeeds again."""
        module = (call.api, call.group)
        reads = (self._last_read, self._read_before)
        earlier = next((each for each in reads if each and (each.api, each.group) != module), None)
        if earlier is None:
            return False
        try:
            self._probe(replace(earlier, traffic=call.traffic), host, token)
        except NoSuchRecordError:
            return True
        except (TokenRefusedError, OrganizationRefusedError):
            return False
        except SourceError as error:
            raise not_asked_after(error) from None
        return True


def not_asked_after(error: SourceError) -> SourceError:
    """The error of the calls that were to follow the one that failed with `error`."""
    if isinstance(error, SNOOZE):
        return error
    rest = NotAskedError(f"not asked for, after: {error}", after_seconds=error.after_seconds)
    rest.waits_for, rest.needs_no_pause = error.waits_for, bool(error.waits_for)
    return rest
