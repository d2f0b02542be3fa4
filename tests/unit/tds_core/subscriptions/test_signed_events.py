"""Sending change events, piece by piece: signatures others accept, addresses nobody may reach, when to try again."""

import base64
import json
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tds_core.subscriptions.retry_policy import (
    LONGEST_REST_SECONDS,
    SCHEDULE,
    DeliveryOutcome,
    decide_delivery,
    rest_seconds,
)
from tds_core.subscriptions.signed_events import body_of, message_id, new_secret, signed_headers
from tds_core.subscriptions.ssrf_guard import TargetRefusedError, is_internal, target_policy

PUBLIC = target_policy(allowed="", ports="443,8443", with_http=False)


@given(body=st.binary(max_size=200).map(lambda raw: json.dumps({"is": raw.hex()}).encode()), count=st.integers(1, 2))
def test_every_signature_is_accepted_by_the_library_receivers_use(body: bytes, count: int) -> None:
    secrets = [new_secret() for _ in range(count)]
    headers = signed_headers(secrets, message_id="msg_1", at=int(datetime.now(UTC).timestamp()), body=body)
    for secret in secrets:
        Webhook(secret).verify(body, dict(headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, dict(headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets[0]).verify(body + b" ", dict(headers))


def test_the_signature_is_the_one_of_the_standards_own_example() -> None:
    headers = signed_headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_long_and_never_the_same() -> None:
    made = {new_secret() for _ in range(50)}
    assert len(made) == 50
    assert {len(base64.b64decode(each.removeprefix("whsec_"))) for each in made} == {32}


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
    "0.0.0.0",  # noqa: S104 (refused, not bound)
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "168.63.129.16", "::", "::1", "fe80::1",
    "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::10.0.0.1",
    "::ffff:168.63.129.16",
    "64:ff9b::10.0.0.1", "2002:0a00:0001::1", "2001::1", "2001:db8::1",
])  # fmt: skip
def test_inner_addresses_are_known_in_every_disguise(address: str) -> None:
    assert is_internal(ip_address(address))
    with pytest.raises(TargetRefusedError, match="internal address"):
        PUBLIC.check_connection(address, 443)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450::1"])
def test_public_addresses_are_reached(address: str) -> None:
    PUBLIC.check_connection(address, 443)


@given(st.ip_addresses(network="10.0.0.0/8"), st.integers(1, 65535))
def test_only_allowed_networks_and_ports_are_reached(address: object, port: int) -> None:
    some = target_policy(allowed="10.1.0.0/16, 192.168.0.0/24", ports="443,9000", with_http=True)
    is_open = str(address).startswith("10.1.") and port in (443, 9000)
    try:
        some.check_connection(str(address), port)
    except TargetRefusedError:
        assert not is_open
    else:
        assert is_open


@pytest.mark.parametrize("url", [
    "http://shop.example/", "ftp://shop.example/", "https://", "https:///x", "shop.example", "https://shop.example:22/",
    "https://shop.example:99999/", "https://a:b@shop.example/", "https://a@shop.example/", "https://shop.example/#x",
    "https://127.0.0.1/", "https://[::1]/", "https://[fe80::1%25eth0]/", "https://shop.example/a b",
    "https://shöp.example/", "https://shop.example/\n", "https://shop.example\\@evil.example/", "https://[::1",
    "https://shop.example/" + "x" * 2000,
    "javascript:alert(1)", "",
])  # fmt: skip
def test_addresses_that_make_no_sense_or_lead_inside_are_refused(url: str) -> None:
    with pytest.raises(TargetRefusedError):
        PUBLIC.check_url(url)


@pytest.mark.parametrize("url", ["https://shop.example/hooks?x=1", "https://shop.example:8443", "https://8.8.8.8/"])
def test_addresses_outside_are_taken(url: str) -> None:
    PUBLIC.check_url(url)


def test_the_body_tells_what_was_before_and_after_of_the_fields_that_are_wanted() -> None:
    entry = {
        "entity": "product", "source": "zoho", "source_id": "4600000000000000001", "version": 3, "operation": "updated",
        "changes": {"price": ["1.10", "1.20"], "name": [None, "x"]}, "correlation_id": "c",
        "recorded_at": datetime(2026, 11, 1, 12, tzinfo=UTC), "source_modified_at": None,
    }  # fmt: skip
    told = json.loads(body_of(entry))
    assert (told["type"], told["timestamp"]) == ("product.updated", "2026-11-01T12:00:00Z")
    assert told["data"]["changes"] == {
        "price": {"before": "1.10", "after": "1.20"}, "name": {"before": None, "after": "x"},
    }  # fmt: skip
    assert json.loads(body_of(entry, fields=("name",)))["data"]["changes"].keys() == {"name"}


def test_a_replay_is_another_message() -> None:
    assert message_id("k", 5) == "msg_k_5"
    assert message_id("k", 5, replay=2) == "msg_k_5_r2"


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_only_two_hundreds_are_success(status: int) -> None:
    assert decide_delivery(status, attempts=1, took_others=False).outcome is DeliveryOutcome.DELIVERED


@given(
    status=st.sampled_from([None, 100, 301, 302, 400, 404, 410, 422, 429, 500, 503]),
    attempts=st.integers(1, 40), took_others=st.booleans(), jitter=st.floats(0, 1),
)  # fmt: skip
def test_failures_follow_the_schedule_and_end_only_where_others_are_taken(
    status: int | None, attempts: int, took_others: bool, jitter: float
) -> None:
    planned = decide_delivery(status, attempts=attempts, took_others=took_others, jitter=jitter)
    if attempts > len(SCHEDULE) and took_others:
        assert planned.outcome is DeliveryOutcome.GIVEN_UP
        return
    due = SCHEDULE[min(attempts, len(SCHEDULE)) - 1]
    assert planned.outcome is DeliveryOutcome.RETRY
    assert 0.9 * due <= planned.delay_seconds <= 1.1 * due


def test_a_wish_lengthens_a_pause_and_never_shortens_it() -> None:
    assert decide_delivery(503, attempts=1, took_others=True, wish_seconds=60).delay_seconds == 60
    assert decide_delivery(503, attempts=9, took_others=True, wish_seconds=60).delay_seconds > 60
    assert decide_delivery(503, attempts=1, took_others=True, wish_seconds=1e9).delay_seconds == 86_400


def test_rests_grow_to_a_bound() -> None:
    rests = [rest_seconds(count) for count in range(1, 50)]
    assert rests == sorted(rests)
    assert (rests[0], max(rests)) == (5, LONGEST_REST_SECONDS)
