"""Zoho's answers: every status and code has one meaning, and only one of them means that a record is gone."""

from datetime import UTC, datetime

import msgspec
import pytest

from tds_core import errors
from tds_core.queue.retry_policy import FailureHistory, RetryOutcome, decide_retry
from tds_core.sources.zoho.responses import (
    InvalidValueError,
    NoSuchRecordError,
    OrganizationRefusedError,
    TokenRefusedError,
    check,
)

NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
HTML = b"<html><body>502 Bad Gateway</body></html>"


def meaning(status: int, code: int | None, *, body: bytes | None = None, **headers: str) -> errors.SourceError:
    sent = msgspec.json.encode({"code": code, "message": "said"}) if body is None else body
    with pytest.raises(errors.SourceError) as caught:
        check(status, sent, {name.replace("_", "-"): value for name, value in headers.items()}, now=NOW)
    return caught.value


@pytest.mark.parametrize("status", [200, 201])
def test_a_good_answer_is_good(status: int) -> None:
    check(status, b'{"code":0}', {}, now=NOW)


def test_only_code_1002_means_that_a_record_is_gone() -> None:
    assert type(meaning(404, 1002)) is type(meaning(400, 1002)) is NoSuchRecordError
    for other in (meaning(404, 5), meaning(404, -1), meaning(404, None, body=HTML), meaning(500, 1002)):
        assert not isinstance(other, NoSuchRecordError)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, 57, TokenRefusedError),
        (401, 14, TokenRefusedError),
        (429, 44, errors.RateError),
        (429, 45, errors.QuotaError),
        (429, 1070, errors.RateError),
        (429, 9999, errors.RateError),
        (400, 6041, OrganizationRefusedError),
        (404, 5, errors.ContractError),
        (400, 2, InvalidValueError),
        (400, 1038, errors.PermanentError),
        (500, 1000, errors.TransientError),
        (503, 0, errors.TransientError),
        (408, 0, errors.TransientError),
    ],
)
def test_an_error_is_named_by_what_to_do_about_it(status: int, code: int, kind: type[errors.SourceError]) -> None:
    assert type(meaning(status, code)) is kind


@pytest.mark.parametrize("status", [200, 201, 400, 403, 404])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (44, errors.RateError),
        (45, errors.QuotaError),
        (1070, errors.RateError),
        (14, TokenRefusedError),
        (57, TokenRefusedError),
        (6041, OrganizationRefusedError),
        (1002, NoSuchRecordError),
        (2006, NoSuchRecordError),
        (5, errors.ContractError),
        (1000, errors.TransientError),
        (9011, errors.PermanentError),
        ("57", TokenRefusedError),
    ],
)
def test_the_source_s_own_code_decides_whatever_the_status(
    status: int, code: int | str, kind: type[errors.SourceError]
) -> None:
    found = meaning(status, None, body=msgspec.json.encode({"code": code, "message": "its sentence", "invoice": None}))
    assert type(found) is kind
    assert f"code {code}: its sentence" in str(found)


@pytest.mark.parametrize("body", [HTML, b"", b"[]", b'{"code":"x"}', b'{"message":null}'])
@pytest.mark.parametrize("status", [302, 403, 404, 410])
def test_a_refusal_without_a_word_of_the_source_s_is_asked_again_a_few_times(status: int, body: bytes) -> None:
    found = meaning(status, None, body=body)
    assert type(found) is errors.UnexpectedAnswerError
    fates = [decide_retry(found, FailureHistory(attempts), max_attempts=8, jitter=0).outcome for attempts in (1, 2, 3)]
    assert fates == [RetryOutcome.RETRY, RetryOutcome.RETRY, RetryOutcome.DEAD]


def test_a_good_answer_that_is_broken_may_pass() -> None:
    for body in (HTML, b"", b'{"code":0,"invoice":{"a":1'):
        assert type(meaning(200, None, body=body)) is errors.TransientError


@pytest.mark.parametrize("body", [HTML, b"", b'{"code":', b'{"code":"x"}', b"[]"])
def test_a_broken_body_of_a_failing_server_is_a_passing_failure(body: bytes) -> None:
    assert type(meaning(502, None, body=body)) is errors.TransientError
    assert type(meaning(429, None, body=body)) is errors.RateError


def test_each_limit_is_waited_out_for_as_long_as_it_lasts() -> None:
    assert meaning(429, 44).after_seconds == 60
    assert meaning(429, 1070).after_seconds == 1
    assert meaning(429, 45).after_seconds == 3600
    assert meaning(429, 45, x_rate_limit_reset="1234").after_seconds == 1234
    for code in (44, 45, 1070):
        assert meaning(429, code, retry_after="7").after_seconds == 7
        assert meaning(429, code, retry_after="soon").after_seconds > 0


def test_what_a_stranger_wrote_is_kept_short() -> None:
    assert len(str(meaning(500, None, body=b"x" * 100_000))) < 400
