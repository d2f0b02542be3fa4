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
)

NO_SUCH_RECORD = 1002
INVALID_URL = 5
UNKNOWN_ORGANIZATION = 6041
NAME_TAKEN = 107051
# Zoho documents no length of its block after too many calls in a minute; a minute is what integrators wait.
MINUTE_BLOCK_SECONDS = 60.0
CONCURRENCY_WAIT_SECONDS = 1.0
# A day that is spent, with no word of when the next begins, is tried again this often.
LONGEST_UNTOLD_SECONDS = 3600.0


class Envelope(msgspec.Struct):
    """What every JSON answer of Zoho carries."""

    code: int = -1
    message: str = ""


class NoSuchRecordError(SourceError):
    """Zoho has no record of this id."""

    code = "not_found"


class TokenRefusedError(SourceError):
    """The access token was not accepted: it expired early, was revoked, or lacks a scope."""

    code = "token_refused"


class ScopeError(AuthError):
    """A fresh access token was refused as well: the connection lacks a scope, or its user a right."""


class NameTakenError(PermanentError):
    """Another record of its kind has this name."""


# Reads to the end of the body and builds nothing.
_PARSED = msgspec.json.Decoder(msgspec.Raw)
_REFUSALS: dict[int, type[SourceError]] = {NAME_TAKEN: NameTakenError, INVALID_URL: ContractError}


def refused_by(status: int, body: bytes) -> int:
    """Zoho's own code of the limit that refused a call; 0 when none did."""
    return _envelope(body).code if status == 429 else 0


def code_of(status: int, body: bytes) -> int:
    """Zoho's own code of an answer; 0 for a good one, which need not be read for it."""
    return 0 if status in (200, 201) else _envelope(body).code


def check(status: int, body: bytes, headers: dict[str, str], *, now: datetime) -> None:
    """Return when the answer is good; raise the error that says what to do otherwise."""
    if status in (200, 201):
        _must_be_whole(body)
        return
    envelope = _envelope(body)
    said = f"HTTP {status}, code {envelope.code}: {envelope.message[:300]}"
    if envelope.code == NO_SUCH_RECORD and status in (400, 404):
        raise NoSuchRecordError(said)
    if status == 401:
        raise TokenRefusedError(said)
    if status == 429:
        raise _limit(envelope.code, said, headers, now)
    if status >= 500 or status == 408:
        raise TransientError(said)
    if envelope.code == UNKNOWN_ORGANIZATION:
        raise AuthError(f"{said} Check ZOHO_ORGANIZATION_ID and the user who connected TDS.", after_seconds=60)
    raise _REFUSALS.get(envelope.code, PermanentError)(said)


def _must_be_whole(body: bytes) -> None:
    try:
        _PARSED.decode(body)
    except msgspec.DecodeError as error:
        raise TransientError(f"a broken answer: {error}") from None


def _limit(code: int, said: str, headers: dict[str, str], now: datetime) -> SourceError:
    """429 means three things; Zoho sends no Retry-After, but it is honoured should it ever come."""
    told = _seconds(headers.get("retry-after"))
    if code == 45:
        return QuotaError(
            said, after_seconds=told or _seconds(headers.get("x-rate-limit-reset")) or _until_midnight(now)
        )
    if code == 1070:
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


def _envelope(body: bytes) -> Envelope:
    try:
        return msgspec.json.decode(body, type=Envelope)
    except msgspec.MsgspecError:
        return Envelope(message=f"not JSON: {body[:120]!r}")
