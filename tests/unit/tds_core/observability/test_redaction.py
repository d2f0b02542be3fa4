"""Redaction: whatever shape a line has, no secret and nothing personal gets through, and what is harmless does."""

import time
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tds_core.config.settings import load_settings
from tds_core.observability.redaction import REDACTED, known_secrets, redact, redact_text

SECRET_KEYS = [
    "password", "client_secret", "ZOHO_WEBHOOK_SECRET", "clientSecret", "refresh_token", "accessToken", "token",
    "csrf_token", "Authorization", "api_key", "X-Api-Key", "Set-Cookie", "X-Zoho-Webhook-Signature", "session_id",
]  # fmt: skip
PERSONAL_KEYS = [
    "email", "e-mail", "customer_email", "phone", "mobile", "fax", "billing_address", "address", "first_name",
    "last_name", "contact_name", "customer_name", "vendor_name", "company_name", "contact_persons",
    "bank_account_number", "iban", "vat_reg_no", "tax_id", "payload", "body",
]  # fmt: skip
# Nothing that could stand in a line by chance.
secret_values = st.text("abcdefghijkmnopqrstuvwxyzXYZ123456789", min_size=16, max_size=40).map(lambda v: f"qQ{v}")
harmless = st.one_of(st.none(), st.booleans(), st.integers(), st.text("abc xyz", max_size=12))


def nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A value with a leaf somewhere inside, at any depth of lists, tuples and dictionaries."""
    keys = st.text("abcdef", min_size=1, max_size=5)
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(harmless, inner).map(list),
            st.tuples(inner),
            st.tuples(keys, inner).map(lambda two: {two[0]: two[1]}),
        ),
        max_leaves=3,
    )


@given(st.data(), st.sampled_from(SECRET_KEYS + PERSONAL_KEYS), secret_values)
def test_nothing_under_such_a_key_gets_through_however_deep_it_is(data: st.DataObject, key: str, value: str) -> None:
    event = {"event": "something", "more": data.draw(nested(st.just({key: data.draw(nested(st.just(value)))})))}
    assert value not in repr(redact(event))


TEXTS = [
    "postgresql://tds:{}@db.internal:5432/tds refused",
    "redis://:{}@redis:6379/0",
    "Authorization: Bearer {}",
    "Zoho-oauthtoken {}",
    "https://accounts.zoho.com/oauth/v2/token?grant_type=x&client_secret={}&refresh_token=y",
    "POST refresh_token={}&client_id=1",
    'answered {{"access_token": "{}", "expires_in": 3600}}',
    "{{'password': '{}'}}",
]


@given(st.sampled_from(TEXTS), secret_values, st.text("abc ", max_size=10), st.text("abc ", max_size=10))
def test_no_text_gives_a_secret_away_by_its_form(form: str, value: str, before: str, after: str) -> None:
    assert value not in redact_text(f"{before} {form.format(value)} {after}")


@given(st.data(), secret_values)
def test_this_process_s_own_secrets_are_found_wherever_they_stand(data: st.DataObject, value: str) -> None:
    event = {
        value: 1,
        "event": f"x{value}y",
        "more": data.draw(nested(st.sampled_from([value, f"<{value}>", value.encode()]))),
    }
    assert value not in repr(redact(event, known_secrets([value, "short", ""])))


@given(st.emails(domains=st.just("mail.example.com")))
def test_addresses_of_people_do_not_get_through(address: str) -> None:
    local = address.partition("@")[0]
    plain = "".join(c for c in local if c.isalnum() or c in "._+-").strip(".") or "someone"
    assert f"{plain}@mail.example.com" not in redact_text(f"Customer {plain}@mail.example.com exists already")


@pytest.mark.parametrize(
    "text",
    [
        "worker1@host.example.com ready.",
        "celery@host.example.com",
        "2026-11-22T09:31:12.000001Z",
        "items/460000000038080: no answer (ReadTimeout)",
        "select * from erp.product where sku = 'A-1'",
        "Set TDS_API_TOKEN or ZOHO_WEBHOOK_SECRET",
    ],
)
def test_what_is_harmless_is_left_as_it_is(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize("part", ["a", "a-", "a@", "a://b:", "password", "password=", "http://a:", "Bearer ", "1000."])
def test_a_megabyte_takes_a_second_and_not_hours(part: str) -> None:
    long = f"{part * (1_000_000 // len(part))}=: http://ann:SECRETpart@db"
    began = time.monotonic()
    assert "SECRET" not in redact_text(long)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "key", ["source_id", "entity", "lease_token", "outcome", "duration_seconds", "sku", "name", "path"]
)
def test_what_an_operator_needs_is_left_as_it_is(key: str) -> None:
    assert redact({key: "4600"}) == {key: "4600"}


def test_the_secrets_of_the_settings_are_known_with_the_passwords_of_their_addresses() -> None:
    settings = load_settings(
        {
            "TDS_DATABASE_URL": "postgresql://tds:hunter2hunter2@db/tds",
            "TDS_API_TOKEN": "a-token-nobody-knows",
            "ZOHO_CLIENT_SECRET": quote("c0ffee" * 4),
        }
    )
    line = redact(
        {"event": "said hunter2hunter2, a-token-nobody-knows and " + "c0ffee" * 4}, known_secrets(settings.secrets())
    )
    assert line["event"] == f"said {REDACTED}, {REDACTED} and {REDACTED}"
    assert msgspec.json.encode(line)
