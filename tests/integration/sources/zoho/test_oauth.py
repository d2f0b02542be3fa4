"""Whatever the token endpoint answers once, work goes on within seconds; only what is known to last stops it."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.errors import AuthError, NotAskedError, RateError, SourceError, TransientError
from tds_core.sources.zoho.oauth import OAuthClient
from tds_core.sources.zoho.tokens import TokenStore
from tds_models.db import session_scope
from tests.support.standin import StandIn
from tests.support.world import World
from zoho_sandbox.oauth import TokenAnswer

KEY = Fernet.generate_key().decode()
UNKNOWN = [
    *(('{"error":"general_error"}', 200), ('{"error":"something_new"}', 400), ("<html>oops</html>", 500), ("{}", 200)),
    *(("null", 200), ("", 200), ("<html>maintenance</html>", 200), ('{"error":{"code":1}}', 200), ("", 503)),
]
LASTING = ["invalid_client", "invalid_client_secret", "invalid_code", "invalid_redirect_uri", "invalid_grant"]

Process = Callable[[], TokenStore]


@pytest.fixture
def process(engine: Engine, standin: StandIn) -> Process:
    """Makes what another process holds."""
    given = standin.sandbox.settings

    def scope() -> AbstractContextManager[Session]:
        return session_scope(engine)

    oauth = OAuthClient(standin.url, given.client_id, given.client_secret)
    return lambda: TokenStore(
        scope, Vault(KEY), oauth, refresh_token=given.refresh_token, api_url="https://fallback.test"
    )


def appoint(standin: StandIn, body: Any, status: int = 200, count: int = 1) -> None:
    text = body if isinstance(body, str) else msgspec.json.encode(body).decode()
    standin.sandbox.accounts.appoint(TokenAnswer(text, status, count))


@pytest.mark.parametrize(("body", "status"), UNKNOWN)
def test_an_unknown_answer_costs_a_moment(
    process: Process, standin: StandIn, world: World, body: str, status: int
) -> None:
    appoint(standin, body, status)
    began = time.monotonic()
    assert process().current()[0]
    assert time.monotonic() - began < 2
    assert standin.token_call_count == 2
    kept = world.one("select refusal, refused_at, blocked_until, block_reason, failed_count from tds_source_tokens")
    assert kept == {
        "refusal": None, "refused_at": None, "blocked_until": None, "block_reason": None, "failed_count": 0
    }  # fmt: skip


def test_answers_that_stay_unknown_are_asked_for_ever_more_rarely_and_by_one(
    process: Process, standin: StandIn, world: World
) -> None:
    appoint(standin, '{"error":"general_error"}', count=0)
    with pytest.raises(TransientError, match="general_error"):
        process().current()
    assert standin.token_call_count == 4, "after 0.5, 1 and 2 s"
    for _ in range(20):
        with pytest.raises(NotAskedError, match=r"general_error; it is asked again at \d\d:\d\d:\d\d UTC") as waits:
            process().current()
        assert 0 < waits.value.after_seconds <= 4
    assert standin.token_call_count == 4
    for _ in range(6):
        world.execute("update tds_source_tokens set blocked_until = now()")
        with pytest.raises(SourceError):
            process().current()
    assert world.value("select blocked_until < now() + interval '15 s' from tds_source_tokens") is True
    standin.sandbox.accounts.clear_appointed()
    world.execute("update tds_source_tokens set blocked_until = now()")
    assert process().current()[0]


@pytest.mark.parametrize("body", ['{"error":"general_error"}', '{"error":"Access Denied"}', '{"error":"invalid_code"}'])
def test_a_token_that_still_lives_is_used_while_there_is_no_newer_one(
    process: Process, standin: StandIn, world: World, body: str
) -> None:
    token = process().current()[0]
    world.execute("update tds_source_tokens set expires_at = now() + interval '200 seconds'")
    appoint(standin, body, count=0)
    began = time.monotonic()
    assert {process().current()[0] for _ in range(5)} == {token}
    assert time.monotonic() - began < 2
    assert standin.token_call_count <= 3


@pytest.mark.parametrize("error", LASTING)
def test_a_lasting_refusal_stops_everybody_and_says_what_to_do(process: Process, standin: StandIn, error: str) -> None:
    appoint(standin, {"error": error}, count=0)
    for _ in range(5):
        with pytest.raises(AuthError, match=error) as caught:
            process().current()
        assert standin.url in str(caught.value)
    assert standin.token_call_count == 1


def test_too_many_tokens_are_waited_for_until_the_window_ends(process: Process, standin: StandIn, world: World) -> None:
    said = "You have made too many requests continuously. Please try again after some time."
    appoint(standin, {"error": "Access Denied", "error_description": said, "status": "failure"}, 400)
    for _ in range(3):
        with pytest.raises(RateError, match=r"until \d\d:\d\d:\d\d UTC"):
            process().current()
    assert standin.token_call_count == 1
    assert world.value("select refusal from tds_source_tokens") is None
    world.execute("update tds_source_tokens set blocked_until = now()")
    assert process().current()[0]


@pytest.mark.parametrize("left_out", ["expires_in", "api_domain"])
@pytest.mark.parametrize("unfit", ["absent", None, 0, "abc", "3600", 3_600_000])
def test_a_token_is_taken_whatever_stands_beside_it(
    process: Process, standin: StandIn, world: World, left_out: str, unfit: Any
) -> None:
    good = {"access_token": "1000.a", "expires_in": 3600, "api_domain": f"{standin.url}/", "token_type": "Bearer"}
    appoint(standin, {key: value for key, value in {**good, left_out: unfit}.items() if value != "absent"})
    token, host = process().current()
    assert token == "1000.a"
    assert host == (standin.url if left_out == "expires_in" else "https://fallback.test")
    assert 590 < world.value("select extract(epoch from expires_at - now())::float8 from tds_source_tokens") <= 3600
