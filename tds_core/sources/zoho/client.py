"""The Zoho client: calls Books and Inventory over a pooled session and turns responses into pages and records."""

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
from tds_core.observability.slow_operations import slow
from tds_core.quality.future_timestamps import Clock
from tds_core.sources.base import CallSummary, FetchResult, ListPage, Traffic
from tds_core.sources.zoho.api_request import ApiCall
from tds_core.sources.zoho.legacy_list_fallback import is_refusal, page_of, records_of
from tds_core.sources.zoho.organizations import ORGANIZATIONS
from tds_core.sources.zoho.quota.governor import Governor, Permit
from tds_core.sources.zoho.quota.limits import Limits
from tds_core.sources.zoho.refusal_diagnosis import KnownRefusals, RefusalDiagnosis, Tokens, not_asked_after
from tds_core.sources.zoho.responses import (
    InvalidValueError,
    NoSuchRecordError,
    OrganizationRefusedError,
    TokenRefusedError,
    TooLargeError,
    judge,
    no_answer,
    read_page,
    read_record,
    receive,
    status_of,
)
from tds_models.entities.declaration import Increment, Order, Stream

log = structlog.get_logger(__name__)

ROOTS = {"books": "/books/v3", "inventory": "/inventory/v1"}
PAGE_SIZE = 200
#: Longest time for single reads of one batch; records not read by then are put off.
READ_SECONDS = 30.0
#: A whole response may take so many times the read timeout.
RESPONSE_TIMEOUT_FACTOR = 2


class ZohoClient:
    """Zoho as a `Source`. Not thread-safe: each thread that reads needs its own."""

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
        """`remember`: called once, after the first good response for this organisation."""
        self._tokens = tokens
        self._access_check = RefusalDiagnosis(
            self._ask, self._probe, tokens, permissions or KnownRefusals(), organization_id=organization_id
        )
        self._breakers = breakers or Breakers()
        self._governor = governor or Governor(Limits())
        self._organization_id = organization_id
        self._timeout = (connect_seconds, timeout_seconds)
        self._session = requests.Session()
        self._host = ""
        self._last_call: CallSummary | None = None
        self._clock: Clock | None = None
        self._clock_tolerance = timedelta(seconds=clock_tolerance_seconds)
        self._remember = remember
        self.call_count = 0

    def list_page(
        self, stream: Stream, *, since: datetime | None, page: int, traffic: Traffic = Traffic.SCHEDULED
    ) -> ListPage:
        """See `Source.list_page`. Zoho ignores unknown parameters, so the filter is checked on the response."""
        parameters = dict(stream.where)
        if stream.modified_key and since is not None:
            parameters[stream.modified_key] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
        result = page_of(
            stream, page, ask=lambda each: self._paged(each, parameters, traffic, page=page, size=PAGE_SIZE)
        )
        early = [row for row in result.rows if since and row.modified_at and row.modified_at < since]
        if early:
            raise ContractError(
                f"{stream.path}: asked for changes since {since}, got {early[0].source_id} of {early[0].modified_at}:"
                " the filter was ignored"
            )
        return result

    def _paged(
        self, stream: Stream, parameters: Mapping[str, str], traffic: Traffic, *, page: int, size: int
    ) -> ListPage:
        """Page `page` of `size` rows; a response that is too large is read in smaller pages.

        A single row that is too large is left out and reported in `ListPage.strange`.
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
        """A page sorted by `order`, or unsorted where Zoho refuses the order."""
        call = ApiCall(
            stream.api, stream.module or stream.path, stream.path, {**parameters, **order}, traffic, is_list=True
        )
        try:
            result = read_page(stream, self.ask(call), page_size=int(parameters["per_page"]))
        except InvalidValueError as refusal:
            if not order:
                raise
            result = self._listed(stream, parameters, {}, traffic)
            return replace(result, disorder=f"it was refused: {refusal}", order_refused=True)
        sort_column = order.get("sort_column")
        differs = sort_column and result.ordered_by not in (None, sort_column)
        disorder = f"the answer says it is ordered by {result.ordered_by}" if differs else ""
        return replace(result, clock=self._clock, disorder=disorder)

    def read(self, stream: Stream, source_ids: Sequence[str], *, traffic: Traffic = Traffic.LIVE) -> FetchResult:
        """See `Source.read`. Records missing from a batch are read singly: only a 404 means deleted."""
        result = FetchResult()
        waiting = list(source_ids)
        if stream.batch and len(waiting) > 1:
            self._read_batches(stream, waiting, result, traffic)
            waiting = [each for each in waiting if each not in result.records and each not in result.failures]
        until, before = time.monotonic() + READ_SECONDS, dict[str, bytes]()
        for place, source_id in enumerate(waiting):
            if place and time.monotonic() > until:
                late = NotAskedError("answers are slow: not asked for yet")
                result.failures.update(dict.fromkeys(waiting[place:], late))
                break
            try:
                result.records[source_id] = self._read_one(stream, source_id, before, traffic)
            except NoSuchRecordError:
                result.missing.add(source_id)
            except SourceError as error:
                result.failures[source_id] = error
                if isinstance(error, (*SNOOZE, TransientError)) and not _is_of_record(error):
                    # The source may be at fault, not the record: further calls would only make it worse.
                    result.failures.update(dict.fromkeys(waiting[place + 1 :], not_asked_after(error)))
                    break
            finally:
                self._note(result, [source_id])
        return result

    def _read_one(self, stream: Stream, source_id: str, before: dict[str, bytes], traffic: Traffic) -> bytes:
        """The current record. `before`: records of the older list by id, filled when it is first needed."""
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

    def _note(self, result: FetchResult, source_ids: Sequence[str]) -> None:
        """Note the call just made, if any, and the source's clock for these records."""
        if self._last_call:
            result.exchanges.update(dict.fromkeys(source_ids, self._last_call))
            self._last_call = None
        if self._clock:
            result.clocks.update(dict.fromkeys(source_ids, self._clock))

    def _read_batches(self, stream: Stream, source_ids: Sequence[str], result: FetchResult, traffic: Traffic) -> None:
        batch = stream.batch
        assert batch is not None  # noqa: S101  (the caller asked)
        for start in range(0, len(source_ids), batch.size):
            some = source_ids[start : start + batch.size]
            try:
                params = {batch.parameter: ",".join(some)}
                page = read_page(stream, self.ask(ApiCall(stream.api, stream.path, batch.path, params, traffic)))
                result.records.update({row.source_id: row.raw for row in page.rows if row.source_id in some})
            except (*SNOOZE, TransientError) as error:
                result.failures.update(dict.fromkeys(some, error))
                result.failures.update(dict.fromkeys(source_ids[start + batch.size :], not_asked_after(error)))
                return
            except SourceError:
                continue  # one of them is deleted or refused; single reads will show which
            finally:
                self._note(result, some)

    def ask(self, call: ApiCall) -> bytes:
        """Make a call and return the body of the response. Raises `SourceError`.

        A refused call is repeated with a token known to be valid; a second refusal means that permission is missing for
        the module or the record.
        """
        self._last_call = self._clock = None
        token, host = self._tokens.current()
        try:
            answer = self._ask(call, host, token)
        except TokenRefusedError as refused:
            answer = self._access_check.ask_again(call, host, token, refused)
        except OrganizationRefusedError as refused:
            raise self._access_check.organization_refused(call, host, token, refused) from None
        self._access_check.note_success(call)
        return answer

    def _probe(self, call: ApiCall, host: str, token: str) -> bytes:
        """Make a call of the access check, without replacing what was noted of the call it serves."""
        last_call, clock = self._last_call, self._clock
        try:
            return self._ask(call, host, token)
        finally:
            self._last_call, self._clock = last_call, clock

    def _ask(self, call: ApiCall, host: str, token: str) -> bytes:
        part = (call.group if call.is_list else call.path).partition("/")[0]
        admission = self._governor.admit(api=call.api, traffic=call.traffic)
        with (
            self._breakers.guard(f"zoho.{call.api}.{part}"),
            admission as permit,
            tracing.span("zoho call", api=call.api, path=call.path, traffic=call.traffic),
        ):
            return self._call(call, host, token, permit)

    def _read_environment(self, host: str) -> None:
        """Take proxies and certificates from the environment once for a host, not at every call."""
        environment = self._session.merge_environment_settings(host, {}, None, None, None)
        self._session.proxies, self._session.verify = environment["proxies"], environment["verify"]
        self._session.trust_env, self._host = False, host

    def _call(self, call: ApiCall, host: str, token: str, permit: Permit) -> bytes:
        self.call_count += 1
        if host != self._host:
            self._read_environment(host)
        began, own = time.monotonic(), {"organization_id": self._organization_id}
        url = f"{host}{ROOTS[call.api]}/{call.path}"
        try:
            answer = self._session.request(
                call.method,
                url,
                params=call.parameters if call.path == ORGANIZATIONS else {**own, **call.parameters},
                json=call.body,
                headers={"Authorization": f"Zoho-oauthtoken {token}"},
                timeout=self._timeout,
                stream=True,
            )
            body = receive(answer, within_seconds=self._timeout[1] * RESPONSE_TIMEOUT_FACTOR)
        except TooLargeError as error:
            self._note_answer(call, answer.status_code, 0, time.monotonic() - began)
            raise OversizedAnswerError(f"{call.path}: {error}; TDS reads no more than that at once") from None
        except requests.RequestException as error:
            _count(call, "none")
            self._last_call = CallSummary(call.path, None, 0, round(time.monotonic() - began, 3))
            raise TransientError(no_answer(url, error)) from None
        seconds = time.monotonic() - began
        status = status_of(body)
        code = status.code or 0
        permit.record_response(answer.status_code, answer.headers, code)
        self._note_answer(call, answer.status_code, code, seconds)
        headers = {key.lower(): value for key, value in answer.headers.items()}
        self._clock = self._read_clock(headers.get("date", ""))
        judge(answer.status_code, status, headers, now=datetime.now(UTC))
        if self._remember is not None and call.path != ORGANIZATIONS:  # that one does not depend on the organisation
            self._remember()
            self._remember = None
        return body

    def _read_clock(self, stamp: str) -> Clock | None:
        with suppress(ValueError):
            now = parsedate_to_datetime(stamp)
            return Clock(now if now.tzinfo else now.replace(tzinfo=UTC), self._clock_tolerance)
        return None

    def _note_answer(self, call: ApiCall, status: int, code: int, seconds: float) -> None:
        _count(call, metrics.status_label(status))
        metrics.api_call_seconds.labels(call.api, call.group).observe(seconds)
        self._last_call = CallSummary(call.path, status, code, round(seconds, 3))
        slow.observe("source_call", seconds, path=call.group, status=status)
        log.info("source_call_completed", path=call.path, status=status, duration_seconds=round(seconds, 3))


def _order(stream: Stream) -> dict[str, str]:
    """The parameters that ask for a list in the order of changes."""
    if not stream.modified_key or stream.increment is Increment.FULL or stream.order is Order.NONE:
        return {}
    return {"sort_column": stream.modified_key, "sort_order": "A" if stream.increment is Increment.FILTER else "D"}


def _count(call: ApiCall, status: str) -> None:
    metrics.api_calls.labels(call.api, call.group, call.traffic, status).inc()


def _is_of_record(error: SourceError) -> bool:
    """Whether `error` says nothing of other records."""
    return isinstance(error, PermissionMissingError) and bool(error.source_id)
