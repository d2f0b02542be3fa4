"""Tokens promise: one refresh at a time for everybody, no second question once denied, nothing readable at rest."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.errors import AuthError, ConfigError, RateError
from tds_core.sources.zoho.client import ZohoClient
from tds_core.sources.zoho.oauth import OAuthClient
from tds_core.sources.zoho.refusal_diagnosis import KnownRefusals
from tds_core.sources.zoho.tokens import TokenStore
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.standin import SMALL, StandIn, serving
from tests.support.world import World

PRODUCT = ENTITIES["product"].stream
KEY = Fernet.generate_key().decode()


@pytest.fixture
def scope(engine: Engine) -> Callable[[], AbstractContextManager[Session]]:
    return lambda: session_scope(engine)


def tokens(
    scope: Callable[[], AbstractContextManager[Session]],
    standin: StandIn,
    *,
    key: str = KEY,
    previous: str = "",
    refresh: str | None = None,
) -> TokenStore:
    """What one process holds."""
    given = standin.sandbox.settings
    oauth = OAuthClient(standin.url, given.client_id, given.client_secret)
    return TokenStore(
        scope, Vault(key, previous), oauth, refresh_token=refresh or given.refresh_token, api_url=standin.url
    )


@pytest.fixture
def one(scope: Callable[[], AbstractContextManager[Session]], standin: StandIn) -> TokenStore:
    return tokens(scope, standin)


def test_ten_that_need_a_token_at_once_ask_for_one(
    scope: Callable[[], AbstractContextManager[Session]], standin: StandIn
) -> None:
    barrier = threading.Barrier(10)
    standin.before_call = lambda path, query: time.sleep(0.3)

    def ask(_: int) -> str:
        mine = tokens(scope, standin)
        barrier.wait()
        return mine.current()[0]

    with ThreadPoolExecutor(10) as threads:
        held = set(threads.map(ask, range(10)))
    assert standin.token_call_count == len(held) == 1


def test_a_token_is_asked_for_once_and_then_held(one: TokenStore, standin: StandIn) -> None:
    first = one.current()
    calls = len(standin.calls)
    assert one.current() == first
    assert len(standin.calls) == calls == 1


def test_another_process_uses_the_token_that_is_there(
    one: TokenStore, scope: Callable[[], AbstractContextManager[Session]], standin: StandIn
) -> None:
    assert tokens(scope, standin).current() == one.current()
    assert standin.token_call_count == 1


def test_a_token_is_renewed_five_minutes_before_it_ends(
    one: TokenStore, world: World, scope: Callable[[], AbstractContextManager[Session]], standin: StandIn
) -> None:
    old = one.current()[0]
    world.execute("update tds_source_tokens set expires_at = now() + interval '301 seconds'")
    assert tokens(scope, standin).current()[0] == old
    world.execute("update tds_source_tokens set expires_at = now() + interval '299 seconds'")
    assert tokens(scope, standin).current()[0] != old


def test_ten_whose_token_was_refused_renew_it_once(
    scope: Callable[[], AbstractContextManager[Session]], standin: StandIn
) -> None:
    held = [tokens(scope, standin) for _ in range(10)]
    [refused] = {each.current()[0] for each in held}
    standin.sandbox.accounts.revoke_access_tokens()
    with ThreadPoolExecutor(10) as threads:
        fresh = set(threads.map(lambda each: each.renew(refused)[0], held))
    assert len(fresh) == 1
    assert refused not in fresh
    assert standin.token_call_count == 2


def test_a_token_revoked_at_the_source_costs_one_renewal_and_no_call_fails(one: TokenStore, standin: StandIn) -> None:
    client = ZohoClient(one, organization_id=standin.sandbox.settings.organization_id)
    client.list_page(PRODUCT, since=None, page=1)
    standin.sandbox.accounts.revoke_access_tokens()
    assert client.list_page(PRODUCT, since=None, page=1).rows
    assert standin.token_call_count == 2


@pytest.fixture
def stingy() -> Iterator[StandIn]:
    """A stand-in that gives one token in ten minutes."""
    with serving(msgspec.structs.replace(SMALL, token_refreshes=1)) as standin:
        yield standin


def test_a_token_that_another_process_renewed_and_that_died_too_is_not_taken_for_a_missing_permission(
    scope: Callable[[], AbstractContextManager[Session]], standin: StandIn
) -> None:
    organization = standin.sandbox.settings.organization_id
    asleep, awake = (
        ZohoClient(tokens(scope, standin), organization_id=organization, permissions=KnownRefusals(scope))
        for _ in range(2)
    )
    asleep.list_page(PRODUCT, since=None, page=1)
    for client in (awake, asleep):
        standin.sandbox.accounts.revoke_access_tokens()
        assert client.list_page(PRODUCT, since=None, page=1).rows
    assert standin.token_call_count == 3


def test_once_denied_nobody_asks_again_until_the_block_is_over(
    scope: Callable[[], AbstractContextManager[Session]], stingy: StandIn, world: World
) -> None:
    token = tokens(scope, stingy).current()[0]
    for _ in range(5):
        with pytest.raises(RateError) as caught:
            tokens(scope, stingy).renew(token)
        assert 590 < caught.value.after_seconds <= 600
    assert stingy.token_call_count == 2
    assert world.value("select refreshing_until from tds_source_tokens") is None


def test_a_wrong_refresh_token_says_how_to_mend_it(
    scope: Callable[[], AbstractContextManager[Session]], standin: StandIn
) -> None:
    with pytest.raises(AuthError, match="tds zoho connect") as caught:
        tokens(scope, standin, refresh="1000.wrong.token").current()
    assert "1000.wrong" not in str(caught.value)
    assert tokens(scope, standin).current()[0], "and the next process with a right one is let in"


def test_a_process_that_died_while_refreshing_holds_the_others_up_only_for_a_while(
    one: TokenStore, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.execute(
        "insert into tds_source_tokens (source, refreshing_until) values ('zoho', now() + interval '0.7 seconds')"
    )
    began = time.monotonic()
    assert one.current()[0]
    assert 0.5 < time.monotonic() - began < 5


def test_no_token_is_readable_in_the_table_or_in_a_log(
    one: TokenStore,
    world: World,
    standin: StandIn,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.DEBUG):
        token = one.current()[0]
        client = ZohoClient(one, organization_id=standin.sandbox.settings.organization_id)
        client.list_page(PRODUCT, since=None, page=1)
    kept = world.value("select t::text from tds_source_tokens t")
    said = caplog.text + "".join(capfd.readouterr())
    for secret in (token, standin.sandbox.settings.refresh_token, standin.sandbox.settings.client_secret):
        assert secret not in kept
        assert secret.encode().hex() not in kept
        assert secret not in said


def test_the_secret_key_rotates_without_a_new_token(
    one: TokenStore, scope: Callable[[], AbstractContextManager[Session]], standin: StandIn
) -> None:
    token = one.current()[0]
    new = Fernet.generate_key().decode()
    assert tokens(scope, standin, key=new, previous=KEY).current()[0] == token
    with pytest.raises(AuthError, match="TDS_SECRET_KEY") as refused:  # so work waits, and no attempt is spent
        tokens(scope, standin, key=new).current()
    assert refused.value.after_seconds > 0
    assert standin.token_call_count == 1


@pytest.mark.parametrize("key", ["", "short", "ü" * 44], ids=["none", "short", "odd"])
def test_a_key_that_is_none_says_how_to_make_one(key: str) -> None:
    for keys in ((key,), (KEY, f"{KEY},{key}")):
        with pytest.raises(ConfigError, match=r"Fernet\.generate_key"):
            Vault(*keys)


def test_a_vault_without_a_secret_has_none(tmp_path: Path) -> None:
    assert Vault(KEY).open(None) is None
