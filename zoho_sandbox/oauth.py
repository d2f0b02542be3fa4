"""Zoho's accounts server: codes, refresh tokens and access tokens, with the limits that bite integrators."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from zoho_sandbox.settings import Settings

CODE_SECONDS = 120
REFRESH_WINDOW_SECONDS = 600
LIVE_ACCESS_TOKENS_MAX = 30
LIVE_REFRESH_TOKENS_MAX = 20
FULL_ACCESS = "ZohoBooks.fullaccess.all,ZohoInventory.fullaccess.all"


class DeniedError(Exception):
    """A token call refused; `status` is 200 for most, as the real server answers."""

    def __init__(self, error: str, status: int = 200) -> None:
        super().__init__(error)
        self.error = error
        self.status = status


@dataclass
class Grant:
    """A refresh token with the access tokens it has given out."""

    refresh_token: str
    scope: str
    # Access tokens by age, the oldest first, with the time they end.
    tokens: OrderedDict[str, float] = field(default_factory=OrderedDict)
    window_started_at: float = 0.0
    window_count: int = 0


@dataclass
class Code:
    """An authorization code waiting to be exchanged, once."""

    scope: str
    redirect_uri: str
    offline: bool
    expires_at: float


@dataclass
class TokenAnswer:
    """What the token endpoint shall answer `count` times instead of what it would; with 0 always, until cleared."""

    body: str
    status: int = 200
    count: int = 1


class Accounts:
    """Who may call the API. All methods are safe to call from several threads."""

    def __init__(self, settings: Settings, source: Callable[[], float]) -> None:
        self.client_id = settings.client_id
        self.client_secret = settings.client_secret
        self.token_seconds = settings.token_seconds
        self.refreshes_max = settings.token_refreshes
        self._now = source
        self._lock = threading.Lock()
        self._codes: dict[str, Code] = {}
        self._grants: OrderedDict[str, Grant] = OrderedDict()
        self._first_token = settings.refresh_token
        self.tells_scope = settings.token_scope
        self._appointed: list[TokenAnswer] = []
        self.restore_refresh_token()
        self._by_token: dict[str, Grant] = {}

    def appoint(self, answer: TokenAnswer) -> None:
        """Let the token endpoint answer so, once the answers appointed before are spent."""
        with self._lock:
            self._appointed.append(answer)

    def appointed(self) -> TokenAnswer | None:
        """The appointed answer this call meets, if any."""
        with self._lock:
            answer = self._appointed[0] if self._appointed else None
            if answer and answer.count == 1:
                self._appointed.pop(0)
            elif answer and answer.count:
                answer.count -= 1
            return answer

    def clear_appointed(self) -> None:
        """Let the token endpoint answer for itself again."""
        with self._lock:
            self._appointed.clear()

    def check_client(self, client_id: str, client_secret: str | None) -> None:
        if client_id != self.client_id:
            raise DeniedError("invalid_client")
        if client_secret is not None and client_secret != self.client_secret:
            raise DeniedError("invalid_client_secret")

    def authorize(self, scope: str, redirect_uri: str, offline: bool) -> str:
        """A fresh code, good for two minutes."""
        with self._lock:
            code = f"1000.{secrets.token_hex(24)}"
            self._codes[code] = Code(scope, redirect_uri, offline, self._now() + CODE_SECONDS)
            return code

    def exchange(self, code: str, redirect_uri: str) -> tuple[str, str | None]:
        """An access token and, for offline codes, a refresh token; a code works once."""
        with self._lock:
            known = self._codes.pop(code, None)
            if known is None or known.expires_at < self._now():
                raise DeniedError("invalid_code")
            if known.redirect_uri != redirect_uri:
                raise DeniedError("invalid_redirect_uri")
            grant = Grant(f"1000.{secrets.token_hex(24)}", known.scope)
            if known.offline:
                self._grants[grant.refresh_token] = grant
                while len(self._grants) > LIVE_REFRESH_TOKENS_MAX:
                    self._forget(next(iter(self._grants)))
            return self._issue(grant), grant.refresh_token if known.offline else None

    def refresh(self, refresh_token: str) -> str:
        """A new access token; the eleventh within ten minutes is refused for the rest of the window."""
        with self._lock:
            grant = self._grants.get(refresh_token)
            if grant is None:
                raise DeniedError("invalid_code")
            now = self._now()
            if now - grant.window_started_at >= REFRESH_WINDOW_SECONDS:
                grant.window_started_at, grant.window_count = now, 0
            if self.refreshes_max and grant.window_count >= self.refreshes_max:
                raise DeniedError("Access Denied", 400)
            grant.window_count += 1
            return self._issue(grant)

    def issue_freely(self) -> str:
        """A token of full access that no limit counts, for tests that are not about tokens."""
        with self._lock:
            return self._issue(Grant("", FULL_ACCESS))

    def _issue(self, grant: Grant) -> str:
        token = f"1000.{secrets.token_hex(16)}.{secrets.token_hex(16)}"
        grant.tokens[token] = self._now() + self.token_seconds
        self._by_token[token] = grant
        while len(grant.tokens) > LIVE_ACCESS_TOKENS_MAX:
            oldest, _expires = grant.tokens.popitem(last=False)
            del self._by_token[oldest]
        return token

    def scope_of(self, token: str) -> str | None:
        """The scope of a living access token, or None."""
        with self._lock:
            grant = self._by_token.get(token)
            if grant is None:
                return None
            if grant.tokens[token] <= self._now():
                del grant.tokens[token], self._by_token[token]
                return None
            return grant.scope

    def revoke(self, token: str) -> bool:
        """End a refresh token with all it gave out, or one access token; False when it is unknown."""
        with self._lock:
            if token in self._grants:
                self._forget(token)
                return True
            grant = self._by_token.pop(token, None)
            if grant is None:
                return False
            del grant.tokens[token]
            return True

    def revoke_access_tokens(self) -> int:
        """End every access token at once, as Zoho sometimes does; refresh tokens stay. Answers how many."""
        with self._lock:
            ended = len(self._by_token)
            self._by_token.clear()
            for grant in self._grants.values():
                grant.tokens.clear()
            return ended

    def revoke_refresh_tokens(self) -> int:
        """End every refresh token, as when the person who gave access leaves. Answers how many."""
        with self._lock:
            ended = list(self._grants)
            for refresh_token in ended:
                self._forget(refresh_token)
            return len(ended)

    def restore_refresh_token(self) -> None:
        """Let the refresh token the sandbox was started with work, again or still."""
        with self._lock:
            self._grants.setdefault(self._first_token, Grant(self._first_token, FULL_ACCESS))

    def live_token_count(self) -> int:
        with self._lock:
            return len(self._by_token)

    def _forget(self, refresh_token: str) -> None:
        for token in self._grants.pop(refresh_token).tokens:
            self._by_token.pop(token, None)
