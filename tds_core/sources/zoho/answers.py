"""Zoho's answers read as what they mean: a body, a missing record, or an error named by what to do about it."""

from datetime import UTC, datetime, timedelta

import msgspec

from tds_core.sources.errors import (
    AuthError,
    ContractError,
    PermanentError,
    QuotaError,
    RateError,
    SourceError,
    TransientError,
    UnexpectedAnswerError,
)
from tds_core.sources.zoho.json_parts import members

#: Zoho's own codes. They decide, whatever the HTTP status: errors also come inside a 200.
NO_SUCH_RECORD = frozenset({1002, 2006})
TOKEN_REFUSED = frozenset({14, 57})
MINUTE_BLOCKED, DAY_SPENT, TOO_MANY_AT_ONCE = 44, 45, 1070
LIMITS = frozenset({MINUTE_BLOCKED, DAY_SPENT, TOO_MANY_AT_ONCE})
INTERNAL_ERROR = 1000
INVALID_VALUE = 2
INVALID_URL = 5
UNKNOWN_ORGANIZATION = 6041
NAME_TAKEN = 107051
CHECK_ORGANIZATION = "Check ZOHO_ORGANIZATION_ID and the user who connected TDS."
#: Ours, for what is no JSON.
BROKEN = -1
# Zoho documents no length of its block after too many calls in a minute; a minute is what integrators wait.
MINUTE_BLOCK_SECONDS = 60.0
CONCURRENCY_WAIT_SECONDS = 1.0
# A day that is spent, with no word of when the next begins, is tried again this often.
LONGEST_UNTOLD_SECONDS = 3600.0


class Envelope(msgspec.Struct):
    """What every JSON answer of Zoho carries; `code` is None where the answer has none that can be read."""

    code: int | None = None
    message: str | None = None


class NoSuchRecordError(SourceError):
    """Zoho has no record of this id."""

    code = "not_found"


class TokenRefusedError(SourceError):
    """The access token was not accepted: it expired early, was revoked, or lacks a scope."""

    code = "token_refused"


class OrganizationRefusedError(AuthError):
    """The user who connected TDS does not belong to the organisation, or may not see what was asked for in it."""


class ScopeError(AuthError):
    """The connection lacks scopes for more than reading."""


class InvalidValueError(PermanentError):
    """A parameter has a value that Zoho does not take here."""


class NameTakenError(PermanentError):
    """Another record of its kind has this name."""


# Reads to the end of the body, builds nothing of the rest, and so finds what is broken as well.
_envelope = msgspec.json.Decoder(Envelope, strict=False)
_REFUSALS: dict[int | None, type[SourceError]] = {
    NAME_TAKEN: NameTakenError,
    INVALID_VALUE: InvalidValueError,
    INVALID_URL: ContractError,
    # No words of Zoho's: a gateway or a firewall spoke.
    None: UnexpectedAnswerError,
    BROKEN: UnexpectedAnswerError,
}


def envelope_of(body: bytes) -> Envelope:
    """What an answer says of itself."""
    try:
        return _envelope.decode(body)
    except msgspec.ValidationError:
        return Envelope()
    except (msgspec.DecodeError, RecursionError) as error:
        return _envelope_in_parts(body, error)


def _envelope_in_parts(body: bytes, error: Exception) -> Envelope:
    """An answer that was cut off is broken; a value in it that nobody can read is its record's affair alone."""
    try:
        found = members(body)
        return _envelope.decode(
            b'{"code":%b,"message":%b}' % (found.get("code", b"null"), found.get("message", b"null"))
        )
    except ValueError:
        return Envelope(BROKEN, f"{error} in {body[:120]!r}")


def check(status: int, body: bytes, headers: dict[str, str], *, now: datetime) -> None:
    """Return when the answer is good; raise the error that says what to do otherwise."""
    judge(status, envelope_of(body), headers, now=now)


def judge(status: int, envelope: Envelope, headers: dict[str, str], *, now: datetime) -> None:
    """See `check`; for who has read the envelope already. `headers`: by their names in small letters."""
    code, is_good = envelope.code, status in (200, 201)
    if is_good and code in (None, 0):
        return
    if is_good and code == BROKEN:
        raise TransientError(f"a broken answer: {envelope.message}")
    said = f"HTTP {status}, code {BROKEN if code is None else code}: {(envelope.message or '')[:300]}"
    if status == 429 or code in LIMITS:
        raise _limit(code, said, headers, now)
    if status == 401 or code in TOKEN_REFUSED:
        raise TokenRefusedError(said)
    # A server that fails may say anything of a record.
    if status >= 500 or status == 408 or code == INTERNAL_ERROR:
        raise TransientError(said)
    if code in NO_SUCH_RECORD:
        raise NoSuchRecordError(said)
    if code == UNKNOWN_ORGANIZATION:
        raise OrganizationRefusedError(f"{said} {CHECK_ORGANIZATION}", after_seconds=60)
    raise _REFUSALS.get(code, PermanentError)(said)


def _limit(code: int | None, said: str, headers: dict[str, str], now: datetime) -> SourceError:
    """Three limits; Zoho sends no Retry-After, but it is honoured should it ever come."""
    told = _seconds(headers.get("retry-after"))
    if code == DAY_SPENT:
        return QuotaError(
            said, after_seconds=told or _seconds(headers.get("x-rate-limit-reset")) or _until_midnight(now)
        )
    if code == TOO_MANY_AT_ONCE:
        return RateError(said, after_seconds=told or CONCURRENCY_WAIT_SECONDS)
    return RateError(said, after_seconds=told or MINUTE_BLOCK_SECONDS)


def _until_midnight(now: datetime) -> float:
    """Seconds to the next midnight UTC, an hour at most: when the daily count starts again is not documented."""
    tomorrow = (now.astimezone(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return min(LONGEST_UNTOLD_SECONDS, (tomorrow - now).total_seconds())


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None
