"""The signature: Zoho's own example, every spelling of it, and nothing else."""

import base64
import hashlib
import hmac
from urllib.parse import quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tds_core.sources.zoho.webhooks.errors import (
    SecretUnsetError,
    SignatureMissingError,
    SignatureWrongError,
    TooManyFieldsError,
)
from tds_core.sources.zoho.webhooks.signature import MOST_FIELDS, pairs_of, signed_text, signed_texts, verify

NEW, OLD = "newsecret123456", "oldsecret123456"
BODY = b'{"item":{"item_id":"1"}}'
fields = st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=8)


def digest(text: bytes, secret: str = NEW) -> bytes:
    return hmac.new(secret.encode(), text, hashlib.sha256).digest()


def check(*, header: str, body: bytes = BODY, query: bytes = b"", name: str = "X-Zoho-Webhook-Signature") -> None:
    verify(body=body, query=pairs_of(query), form=None, headers={name: header}, secrets=[NEW, OLD])


def encoded(pairs: list[tuple[str, str]]) -> bytes:
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs).encode()


def test_zohos_official_example_gives_its_string() -> None:
    body = b'{"created_date":"2019-03-06","event_id":"5675"}'
    text = signed_text(body=body, query=pairs_of(b"subscription_id=90343&name=basic"), form=None)
    assert text == b"namebasicsubscription_id90343" + body


@pytest.mark.parametrize("spell", [
    lambda d: d.hex(),
    lambda d: d.hex().upper(),
    lambda d: "sha256=" + d.hex(),
    lambda d: "SHA256=" + d.hex().upper(),
    lambda d: f"  {d.hex()}  ",
    lambda d: base64.b64encode(d).decode(),
])  # fmt: skip
def test_every_spelling_of_a_signature_is_read(spell) -> None:
    check(header=spell(digest(BODY)))


def test_either_of_two_live_secrets_proves() -> None:
    check(header=digest(BODY, NEW).hex())
    check(header=digest(BODY, OLD).hex())
    with pytest.raises(SignatureWrongError):
        check(header=digest(BODY, "anothersecret1").hex())


def test_the_query_is_part_of_what_is_signed() -> None:
    check(header=digest(b"entityproducteventupdated" + BODY).hex(), query=b"event=updated&entity=product")
    with pytest.raises(SignatureWrongError):
        check(header=digest(BODY).hex(), query=b"event=deleted")


def test_the_plain_header_covers_the_raw_body() -> None:
    check(header=digest(BODY).hex(), name="X-Zoho-Signature", query=b"entity=product")
    with pytest.raises(SignatureWrongError):
        check(header=digest(b"entityproduct" + BODY).hex(), name="X-Zoho-Signature", query=b"entity=product")


@pytest.mark.parametrize("header", ["nonsense", "zz" * 32, "ab" * 31, "ab" * 33, "é" * 64, "sha256=", "====", "YWJj"])
def test_what_is_no_signature_is_wrong_and_never_a_crash(header: str) -> None:
    with pytest.raises(SignatureWrongError):
        check(header=header)


def test_no_header_is_missing_and_not_wrong() -> None:
    with pytest.raises(SignatureMissingError):
        verify(body=BODY, query=[], form=None, headers={}, secrets=[NEW])


@pytest.mark.parametrize("secrets", [[], ["", ""]])
def test_without_a_secret_nothing_is_believed_not_even_a_signature_with_the_empty_key(secrets: list[str]) -> None:
    headers = {"X-Zoho-Webhook-Signature": hmac.new(b"", BODY, hashlib.sha256).hexdigest()}
    with pytest.raises(SecretUnsetError):
        verify(body=BODY, query=[], form=None, headers=headers, secrets=secrets)


def test_a_flood_of_fields_is_refused_before_it_is_sorted() -> None:
    with pytest.raises(TooManyFieldsError):
        pairs_of(b"&" * MOST_FIELDS)


@given(fields)
def test_encoded_fields_come_back_as_they_were(pairs: list[tuple[str, str]]) -> None:
    assume(all(name or value for name, value in pairs))
    assert pairs_of(encoded(pairs)) == [(name.encode(), value.encode()) for name, value in pairs]


@given(fields, st.binary(max_size=200))
def test_whatever_zoho_signs_verifies(pairs: list[tuple[str, str]], body: bytes) -> None:
    query = [(name.encode(), value.encode()) for name, value in pairs]
    text = b"".join(name + value for name, value in sorted(query, key=lambda pair: pair[0])) + body
    headers = {"X-Zoho-Webhook-Signature": digest(text).hex()}
    verify(body=body, query=query, form=None, headers=headers, secrets=[NEW])


@given(st.binary(min_size=1, max_size=200), st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_is_enough_to_be_refused(body: bytes, place: int, change: int) -> None:
    changed = bytearray(body)
    changed[place % len(body)] ^= change
    with pytest.raises(SignatureWrongError):
        check(header=digest(body).hex(), body=bytes(changed))


@given(st.text(max_size=100))
def test_any_header_at_all_is_answered_without_a_crash(header: str) -> None:
    with pytest.raises((SignatureWrongError, SignatureMissingError)):
        check(header=header)


@given(fields)
def test_a_forms_fields_are_signed_without_its_body(pairs: list[tuple[str, str]]) -> None:
    form = pairs_of(encoded(pairs))
    text = b"".join(name + value for name, value in sorted(form, key=lambda pair: pair[0]))
    headers = {"X-Zoho-Webhook-Signature": digest(text).hex()}
    verify(body=encoded(pairs), query=[], form=form, headers=headers, secrets=[NEW])


def ordered(pairs: list[tuple[str, str]]) -> bytes:
    return "".join(name + value for name, value in pairs).encode()


TWICE = b"b=2&a=9&b=1"


@pytest.mark.parametrize("signed", [
    [("a", "9"), ("b", "2"), ("b", "1")],  # as sent
    [("a", "9"), ("b", "1"), ("b", "2")],  # by value, or backwards
])  # fmt: skip
def test_a_parameter_that_comes_again_may_be_signed_in_any_plausible_order(signed: list[tuple[str, str]]) -> None:
    check(header=digest(ordered(signed) + BODY).hex(), query=TWICE)


def test_a_parameter_in_address_and_body_may_be_signed_either_way_round() -> None:
    query, form = pairs_of(b"x=of+address"), pairs_of(b"x=of+body&a=1")
    for text in (b"a1xof addressxof body", b"a1xof bodyxof address"):
        verify(body=b"", query=query, form=form, headers={"X-Zoho-Webhook-Signature": digest(text).hex()},
               secrets=[NEW])  # fmt: skip


def test_names_may_be_sorted_regardless_of_case() -> None:
    for text in (b"Z1a2", b"a2Z1"):
        check(header=digest(text + BODY).hex(), query=b"Z=1&a=2")


def test_no_other_order_is_believed() -> None:
    for text in (b"b2a9b1", b"b1b2a9", b"a9b2", b"a9b1"):
        with pytest.raises(SignatureWrongError):
            check(header=digest(text + BODY).hex(), query=TWICE)


def test_parameters_of_one_meaning_cost_one_signature() -> None:
    assert len(list(signed_texts(body=BODY, query=pairs_of(b"b=2&a=1"), form=None))) == 1
    assert len(list(signed_texts(body=BODY, query=[], form=None))) == 1


def test_a_header_that_a_proxy_doubled_proves_as_one() -> None:
    right, wrong = digest(BODY).hex(), "0" * 64
    for header in (f"{right}, {right}", f"{right},{right}", f"{wrong}, {right}"):
        check(header=header)
    for header in (f"{wrong}, {wrong}", ",", f"{wrong},,,,{right}"):
        with pytest.raises(SignatureWrongError):
            check(header=header)
