"""A probe: one webhook that TDS signs and sends itself, through its public address, and follows to the record's row.

Its body names a record that exists and nothing else, so that the record is read again at Zoho and nothing untrue is
written, wherever the way may lead.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import uuid4

import msgspec
import requests
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import ConfigError, NotFoundError, TdsError
from tds_core.sources.zoho.webhooks.signature import ZOHO_HEADER, signature_of
from tds_models.entities.declaration import Entity
from tds_models.inbox import Verdict

SEND_SECONDS = 20.0
_LOOK_SECONDS = 0.2
_NEWEST = "select source_id from {table} where deleted_at is null order by changed_at desc limit 1"
_EVENT = text("""
select verdict, verdict_reason,
    extract(epoch from coalesce(verdict_at, clock_timestamp()) - received_at)::float8 as seconds
from tds_inbox_events where id = :id
""")

_GOOD_VERDICTS = frozenset({Verdict.APPLIED, Verdict.UNCHANGED, Verdict.SUPERSEDED, Verdict.STALE})
Scope = Callable[[], AbstractContextManager[Session]]


class ProbeFailedError(TdsError):
    """The probe did not arrive, was refused, or did not come to its row in time."""

    code = "probe_failed"


@dataclass(frozen=True, slots=True)
class SentProbe:
    """A probe that was accepted as an event."""

    url: str
    source_id: str
    event_id: int
    answer_seconds: float


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """What became of the event. `seconds`: from its receipt to its verdict."""

    verdict: str
    reason: str | None
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether the record's row is as the source has it."""
        return self.verdict in _GOOD_VERDICTS


def newest_record(session: Session, entity: Entity) -> str:
    """The living record that changed last. Raises NotFoundError where none is mirrored."""
    found = session.execute(text(_NEWEST.format(table=entity.table.fullname))).scalar()
    if found is None:
        raise NotFoundError(
            f"No {entity.name} is mirrored yet to send a webhook about. Sync it: tds sync {entity.name}"
        )
    return str(found)


def send_probe(entity: Entity, source_id: str, *, address: str, secret: str) -> SentProbe:
    """Send a signed webhook about a record to TDS at `address`. Raises ConfigError, ProbeFailedError."""
    if not secret:
        raise ConfigError("Set ZOHO_WEBHOOK_SECRET: without it no webhook can be signed, nor believed.")
    stream = entity.stream
    if not stream.wrappers:
        raise ConfigError(f"Zoho has no webhooks for {entity.name}.")
    url = f"{address.rstrip('/')}/api/tds/zoho/webhooks/{entity.name}/updated"
    # Said twice within ten minutes it would be a duplicate, so each probe says something new.
    body = msgspec.json.encode({stream.wrappers[0]: {stream.id_key: source_id, "tds_probe": uuid4().hex}})
    headers = {"Content-Type": "application/json", ZOHO_HEADER: signature_of(body, secret)}
    began = time.monotonic()
    try:
        response = requests.post(url, data=body, headers=headers, timeout=SEND_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise ProbeFailedError(
            f"Nobody answers at {url} ({type(error).__name__}). Check TDS_PUBLIC_URL, the proxy, its certificate, and"
            " that the API runs: tds health"
        ) from None
    return SentProbe(url, source_id, _event_id(url, response), time.monotonic() - began)


def _event_id(url: str, response: requests.Response) -> int:
    """The event's id in an answer. Raises ProbeFailedError, which says who refused and what to do."""
    if response.status_code in (200, 202):
        try:
            return int(msgspec.json.decode(response.content)["event_id"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            raise ProbeFailedError(f"{url} answers, but it is no TDS: check TDS_PUBLIC_URL and the proxy.") from None
    advice = {
        401: "the TDS there has another ZOHO_WEBHOOK_SECRET, or a proxy leaves out the header or changes the body",
        404: "the proxy leads elsewhere, or cuts off the path",
        413: "the proxy takes no body of this size",
        429: "too many webhooks came at once; try again in a minute",
        503: "its database is away or it is overloaded: tds health",
    }.get(response.status_code, "TDS_PUBLIC_URL leads past TDS" if response.is_redirect else "see its log")
    raise ProbeFailedError(f"{url} answers {response.status_code}: {advice}.")


def follow_probe(scope: Scope, event_id: int, *, seconds: float, pause: Callable[[float], None]) -> ProbeOutcome:
    """Wait until an event has its verdict, at most `seconds`, by pauses. Raises ProbeFailedError."""
    until = time.monotonic() + seconds
    while True:
        with scope() as session:
            row = session.execute(_EVENT, {"id": event_id}).one_or_none()
        if row is None:
            raise ProbeFailedError(
                f"The event {event_id} is not in this database: TDS_PUBLIC_URL leads to a TDS with another one."
            )
        if row.verdict is not None:
            return ProbeOutcome(row.verdict, row.verdict_reason, row.seconds)
        if time.monotonic() > until:
            raise ProbeFailedError(
                f"The event {event_id} waits for its row for over {seconds:.0f} s."
                " See why: tds workers status; tds queue list"
            )
        pause(_LOOK_SECONDS)
