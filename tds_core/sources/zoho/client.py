"""The Zoho client: asks Books and Inventory over a pooled session and turns answers into pages and records."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import requests
import structlog

from tds_core.breakers.registry import Breakers
from tds_core.errors import (
    SNOOZE,
    ContractError,
    NotAskedError,
    OversizedAnswerError,
    PermissionMissingError,
    SourceError,
    TransientError,
)
from tds_core.observability import metrics, tracing
from tds_core.observability.metrics import watch
from tds_core.quality.clock_skew import Clock
from tds_core.sources.base import CallSummary, FetchResult, ListPage, Traffic
from tds_core.sources.zoho.access_check import AccessCheck, KnownRefusals, Tokens, not_asked_after
from tds_core.sources.zoho.api_call import ApiCall
from tds_core.sources.zoho.legacy_lists import is_refusal, page_of, records_of
from tds_core.sources.zoho.organizations import ORGANIZATIONS
from tds_core.sources.zoho.quota.governor import Governor, Permit
from tds_core.sources.zoho.quota.limits import Limits
from tds_core.sources.zoho.responses import (
    InvalidValueError,
    NoSuchRecordError,
    OrganizationRefusedError,
    TokenRefusedError,
    TooLargeError,
    judge,
    read_page,
    read_record,
    receive,
    silence,
    status_of,
)
from tds_models.entities.base import Increment, Order, Stream

log = structlog.get_logger(__name__)

ROOTS = {"books": "/books/v3", "inventory": "/inventory/v1"}
PAGE_SIZE = 200
#: Records are asked for one by one for so long, while answers are slow; what was read is kept, the rest waits its turn.
READ_SECONDS = 30.0
#: An answer that has begun may take so many times as long as it may stand still.
WHOLE_ANSWER = 2


class ZohoClient:
    """Zoho as a `Source`. One a process; not shared between threads that read at the same time."""

    name = "zoho"

    def __init__(
        self,
        tokens: Tokens,
        *,
        organization_id: str,
        timeout_seconds: float = 30.0,
        connect_seconds: float = 5.0,
        governor: Governor | None = None,
        breakers: Breakers | None = None,
        permissions: KnownRefusals | None = None,
        clock_tolerance_seconds: float = 300.0,
        remember: Callable[[], None] | None = None,
    ) -> None:
        """`remember`: called once, when Zoho has answered well for this organisation."""
        self._tokens = tokens
        self._verification = AccessCheck(
            self._ask, self._ask_aside, tokens, permissions or KnownRefusals(), organization_id=organization_id
        )
        self._breakers = breakers or Breakers()
        self._governor = governor or Governor(Limits())
        self._organization_id = organization_id
        self._timeout = (connect_seconds, timeout_seconds)
        self._session = requests.Session()
        self._host = ""
        self._exchange: CallSummary | None = None
        self._clock: Clock | None = None
        self._clock_tolerance = timedelta(seconds=clock_tolerance_seconds)
        self._remember = remember
        self.call_count = 0

    def list_page(
        self, stream: Stream, *, since: datetime | None, page: int, traffic: Traffic = Traffic.SCHEDULED
    ) -> ListPage:
        """See `Source.list_page`. Zoho ignores parameters it does not know, so the answer is checked."""
        parameters = dict(stream.where)
        if stream.modified_key and since is not None:
            parameters[stream.modified_key] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
        found = page_of(
            stream, page, ask=lambda each: self._paged(each, parameters, traffic, page=page, size=PAGE_SIZE)
        )
        early = [row for row in found.rows if since and row.modified_at and row.modified_at < since]
        if early:
            raise ContractError(
                f"{stream.path}: asked for changes since {since}, got {early[0].source_id} of {early[0].modified_at}:"
                " the filter was ignored"
            )
        return found

    def _paged(
        self, stream: Stream, parameters: Mapping[str, str], traffic: Traffic, *, page: int, size: int
    ) -> ListPage:
        """Page `page` of so many rows; what is too large to be answered at once is asked for in smaller parts.

        A row that is too large by itself is left out, and named as strange.
        """
        params = {**parameters, "page": str(page), "per_page": str(size)}
        try:
            return self._listed(stream, params, _order(stream), traffic)
        except OversizedAnswerError as error:
            if size == 1:
                return ListPage([], has_more=True, strange=[str(error)])
        count = next(each for each in (2, 5, size) if size % each == 0)
        parts: list[ListPage] = []
        for place in range((page - 1) * count + 1, page * count + 1):
            parts.append(self._paged(stream, parameters, traffic, page=place, size=size // count))
            if not parts[-1].has_more:
                break
        return replace(
            parts[-1],
            rows=[row for part in parts for row in part.rows],
            strange=[reason for part in parts for reason in part.strange],
            clock=parts[0].clock,
            disorder=next((part.disorder for part in parts if part.disorder), ""),
            order_refused=any(part.order_refused for part in parts),
        )

    def _listed(
        self, stream: Stream, parameters: Mapping[str, str], order: Mapping[str, str], traffic: Traffic
    ) -> ListPage:
        """A page in `order`, or where that is refused as it comes."""
        question = ApiCall(
            stream.api, stream.module or stream.path, stream.path, {**parameters, **order}, traffic, is_list=True
        )
        try:
            found = read_page(stream, self.ask(question), page_size=int(parameters["per_page"]))
        except InvalidValueError as refusal:
            if not order:
                raise
            found = self._listed(stream, parameters, {}, traffic)
            return replace(found, disorder=f"it was refused: {refusal}", order_refused=True)
        wanted = order.get("sort_column")
        other = wanted and found.ordered_by not in (None, wanted)
        disorder = f"the answer says it is ordered by {found.ordered_by}" if other else ""
        return replace(found, clock=self._clock, disorder=disorder)

    def read(self, stream: Stream, source_ids: Sequence[str], *, traffic: Traffic = Traffic.LIVE) -> FetchResult:
        """See `Source.read`. What a batch did not answer is asked for singly: only a 404 means gone."""
        reading = FetchResult()
        waiting = list(source_ids)
        if stream.batch and len(waiting) > 1:
            self._read_batches(stream, waiting, reading, traffic)
            waiting = [each for each in waiting if each not in reading.records and each not in reading.failures]
        until, before = time.monotonic() + READ_SECONDS, dict[str, bytes]()
        for place, source_id in enumerate(waiting):
            if place and time.monotonic() > until:
                late = NotAskedError("answers are slow: not asked for yet")
                reading.failures.update(dict.fromkeys(waiting[place:], late))
                break
            try:
                reading.records[source_id] = self._read_one(stream, source_id, before, traffic)
            except NoSuchRecordError:
                reading.missing.add(source_id)
            except SourceError as error:
                reading.failures[source_id] = error
                if isinstance(error, (*SNOOZE, TransientError)) and not _is_of_record(error):
                    # It may be the source, not the record: asking on would only make it worse.
                    reading.failures.update(dict.fromkeys(waiting[place + 1 :], not_asked_after(error)))
                    break
            finally:
                self._note(reading, [source_id])
        return reading

    def _read_one(self, stream: Stream, source_id: str, before: dict[str, bytes], traffic: Traffic) -> bytes:
        """A record as it stands now. `before`: what its older list holds, once that was needed."""
        if source_id in before:
            return before[source_id]
        path = f"{stream.path}/{quote(source_id, safe='')}"
        try:
            answer = self.ask(ApiCall(stream.api, stream.path, path, {}, traffic, source_id=source_id))
            return read_record(stream, answer, source_id)
        except SourceError as refusal:
            if stream.older is None or not is_refusal(refusal):
                raise
            before.update(records_of(stream, ask=lambda each: self._paged(each, {}, traffic, page=1, size=PAGE_SIZE)))
            if source_id in before:
                return before[source_id]
            raise NoSuchRecordError(str(refusal)) if before else refusal from None

    def _note(self, reading: FetchResult, source_ids: Sequence[str]) -> None:
        """The call just made was about these records, if there was one."""
        if self._exchange:
            reading.exchanges.update(dict.fromkeys(source_ids, self._exchange))
            self._exchange = None
        if self._clock:
            reading.clocks.update(dict.fromkeys(source_ids, self._clock))

    def _read_batches(self, stream: Stream, source_ids: Sequence[str], reading: FetchResult, traffic: Traffic) -> None:
        batch = stream.batch
        assert batch is not None  # noqa: S101  (the caller asked)
        for start in range(0, len(source_ids), batch.size):
            some = source_ids[start : start + batch.size]
            try:
                wanted = {batch.parameter: ",".join(some)}
                page = read_page(stream, self.ask(ApiCall(stream.api, stream.path, batch.path, wanted, traffic)))
                reading.records.update({row.source_id: row.raw for row in page.rows if row.source_id in some})
            except (*SNOOZE, TransientError) as error:
                reading.failures.update(dict.fromkeys(some, error))
                reading.failures.update(dict.fromkeys(source_ids[start + batch.size :], not_asked_after(error)))
                return
            except SourceError:
                continue  # one of them is gone, or refused; which one, the single reads tell
            finally:
                self._note(reading, some)

    def ask(self, question: ApiCall) -> bytes:
        """The answer's body; raises `SourceError`.

        What is refused is asked for again with a token that is known to live; what is refused then is a matter of
        permissions, for all of a module or for one of its records.
        """
        self._exchange = self._clock = None
        token, host = self._tokens.current()
        try:
            answer = self._ask(question, host, token)
        except TokenRefusedError as refused:
            answer = self._verification.ask_again(question, host, token, refused)
        except OrganizationRefusedError as refused:
            raise self._verification.judged(question, host, token, refused) from None
        self._verification.note_good(question)
        return answer

    def _ask_aside(self, question: ApiCall, host: str, token: str) -> bytes:
        """Ask what only helps to judge an answer, which stays the one that is told of."""
        exchange, clock = self._exchange, self._clock
        try:
            return self._ask(question, host, token)
        finally:
            self._exchange, self._clock = exchange, clock

    def _ask(self, question: ApiCall, host: str, token: str) -> bytes:
        part = (question.group if question.is_list else question.path).partition("/")[0]
        leave = self._governor.admit(api=question.api, traffic=question.traffic)
        with (
            self._breakers.guard(f"zoho.{question.api}.{part}"),
            leave as permit,
            tracing.span("zoho call", api=question.api, path=question.path, traffic=question.traffic),
        ):
            return self._call(question, host, token, permit)

    def _heed_environment(self, host: str) -> None:
        """Take proxies and certificates from the environment once for a host, not at every call."""
        found = self._session.merge_environment_settings(host, {}, None, None, None)
        self._session.proxies, self._session.verify = found["proxies"], found["verify"]
        self._session.trust_env, self._host = False, host

    def _call(self, question: ApiCall, host: str, token: str, permit: Permit) -> bytes:
        self.call_count += 1
        if host != self._host:
            self._heed_environment(host)
        began, own = time.monotonic(), {"organization_id": self._organization_id}
        url = f"{host}{ROOTS[question.api]}/{question.path}"
        try:
            answer = self._session.request(
                question.method,
                url,
                params=question.parameters if question.path == ORGANIZATIONS else {**own, **question.parameters},
                json=question.body,
                headers={"Authorization": f"Zoho-oauthtoken {token}"},
                timeout=self._timeout,
                stream=True,
            )
            body = receive(answer, within_seconds=self._timeout[1] * WHOLE_ANSWER)
        except TooLargeError as error:
            self._note_answer(question, answer.status_code, 0, time.monotonic() - began)
            raise OversizedAnswerError(f"{question.path}: {error}; TDS reads no more than that at once") from None
        except requests.RequestException as error:
            _count(question, "none")
            self._exchange = CallSummary(question.path, None, 0, round(time.monotonic() - began, 3))
            raise TransientError(silence(url, error)) from None
        seconds = time.monotonic() - began
        said = status_of(body)
        code = said.code or 0
        permit.answered(answer.status_code, answer.headers, code)
        self._note_answer(question, answer.status_code, code, seconds)
        headers = {key.lower(): value for key, value in answer.headers.items()}
        self._clock = self._read_clock(headers.get("date", ""))
        judge(answer.status_code, said, headers, now=datetime.now(UTC))
        if self._remember is not None and question.path != ORGANIZATIONS:  # which is answered whichever is asked for
            self._remember()
            self._remember = None
        return body

    def _read_clock(self, stamp: str) -> Clock | None:
        with suppress(ValueError):
            now = parsedate_to_datetime(stamp)
            return Clock(now if now.tzinfo else now.replace(tzinfo=UTC), self._clock_tolerance)
        return None

    def _note_answer(self, question: ApiCall, status: int, code: int, seconds: float) -> None:
        _count(question, metrics.status_label(status))
        metrics.api_call_seconds.labels(question.api, question.group).observe(seconds)
        self._exchange = CallSummary(question.path, status, code, round(seconds, 3))
        watch.tell("source_call", seconds, path=question.group, status=status)
        log.info("source_call_completed", path=question.path, status=status, duration_seconds=round(seconds, 3))


def _order(stream: Stream) -> dict[str, str]:
    """The parameters that ask for a list in the order of changes."""
    if not stream.modified_key or stream.increment is Increment.FULL or stream.order is Order.NONE:
        return {}
    return {"sort_column": stream.modified_key, "sort_order": "A" if stream.increment is Increment.FILTER else "D"}


def _count(question: ApiCall, status: str) -> None:
    metrics.api_calls.labels(question.api, question.group, question.traffic, status).inc()


def _is_of_record(error: SourceError) -> bool:
    """Whether `error` says nothing of other records."""
    return isinstance(error, PermissionMissingError) and bool(error.source_id)
