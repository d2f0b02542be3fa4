"""The Zoho client: asks Books and Inventory over a pooled session and turns answers into pages and records."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import quote

import requests
import structlog

from tds_core import metrics, tracing
from tds_core.breakers.breakers import Breakers
from tds_core.slow import watch
from tds_core.sources.base import Clock, Exchange, Page, Reading
from tds_core.sources.errors import (
    SNOOZE,
    ContractError,
    NotAskedError,
    PermissionMissingError,
    SourceError,
    TransientError,
)
from tds_core.sources.traffic import Traffic
from tds_core.sources.zoho.answers import (
    InvalidValueError,
    NoSuchRecordError,
    OrganizationRefusedError,
    TokenRefusedError,
    envelope_of,
    judge,
)
from tds_core.sources.zoho.organizations import ORGANIZATIONS, read_organizations
from tds_core.sources.zoho.permissions import MOST_RENEWALS, Permissions, Standing, missing
from tds_core.sources.zoho.quota.governor import Governor, Permit
from tds_core.sources.zoho.quota.limits import Limits
from tds_core.sources.zoho.receiving import receive, silence
from tds_core.sources.zoho.shapes import read_page, read_record
from tds_models.entity import Increment, Order, Stream

log = structlog.get_logger(__name__)

ROOTS = {"books": "/books/v3", "inventory": "/inventory/v1"}
PAGE_SIZE = 200
#: What shows whether a module can be read at all.
ONE_ROW = {"page": "1", "per_page": "1"}
#: Records are asked for one by one for so long, while answers are slow; what was read is kept, the rest waits its turn.
READ_SECONDS = 30.0
#: So many records of a module refused in a row, and none read, and it is the module that cannot be read.
MOST_REFUSED_SINGLY = 5
#: An answer that has begun may take so many times as long as it may stand still.
WHOLE_ANSWER = 2


class Tokens(Protocol):
    """Where access tokens come from."""

    def current(self) -> tuple[str, str]:
        """A token that is still good, and the API host it is for."""
        ...

    def renew(self, refused: str) -> tuple[str, str]:
        """Another token than `refused`."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """One call: `path` of an API, and what is sent along; it is counted under `group`, which names the module.

    `source_id`: the record it is about, where it is about one.
    """

    api: str
    group: str
    path: str
    parameters: Mapping[str, str]
    traffic: Traffic
    method: str = "GET"
    body: Mapping[str, Any] | None = None
    source_id: str = ""


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
        permissions: Permissions | None = None,
        clock_tolerance_seconds: float = 300.0,
    ) -> None:
        self._tokens = tokens
        self._permissions = permissions or Permissions()
        # Records in a row that were refused alone, by module: after some it is taken for the module.
        self._refused_singly: Counter[tuple[str, str]] = Counter()
        self._breakers = breakers or Breakers()
        self._governor = governor or Governor(Limits())
        self._organization_id = organization_id
        self._timeout = (connect_seconds, timeout_seconds)
        self._session = requests.Session()
        self._host = ""
        self._exchange: Exchange | None = None
        self._clock: Clock | None = None
        self._clock_tolerance = timedelta(seconds=clock_tolerance_seconds)
        self.call_count = 0

    def list_page(
        self, stream: Stream, *, since: datetime | None, page: int, traffic: Traffic = Traffic.SCHEDULED
    ) -> Page:
        """See `Source.list_page`. Zoho ignores parameters it does not know, so the answer is checked."""
        parameters = {**stream.where, "page": str(page), "per_page": str(PAGE_SIZE)}
        if stream.modified_key and since is not None:
            parameters[stream.modified_key] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
        found = self._listed(stream, parameters, _order(stream), traffic)
        early = [row for row in found.rows if since and row.modified_at and row.modified_at < since]
        if early:
            raise ContractError(
                f"{stream.path}: asked for changes since {since}, got {early[0].source_id} of {early[0].modified_at}:"
                " the filter was ignored"
            )
        return found

    def _listed(
        self, stream: Stream, parameters: Mapping[str, str], order: Mapping[str, str], traffic: Traffic
    ) -> Page:
        """A page in `order`, or where that is refused as it comes."""
        question = Question(stream.api, stream.path, stream.path, {**parameters, **order}, traffic)
        try:
            found = read_page(stream, self.ask(question), page_size=PAGE_SIZE)
        except InvalidValueError as refusal:
            if not order:
                raise
            found = self._listed(stream, parameters, {}, traffic)
            return replace(found, disorder=f"it was refused: {refusal}", order_refused=True)
        wanted = order.get("sort_column")
        other = wanted and found.ordered_by not in (None, wanted)
        disorder = f"the answer says it is ordered by {found.ordered_by}" if other else ""
        return replace(found, clock=self._clock, disorder=disorder)

    def read(self, stream: Stream, source_ids: Sequence[str], *, traffic: Traffic = Traffic.LIVE) -> Reading:
        """See `Source.read`. What a batch did not answer is asked for singly: only a 404 means gone."""
        reading = Reading()
        waiting = list(source_ids)
        if stream.batch and len(waiting) > 1:
            self._read_batches(stream, waiting, reading, traffic)
            waiting = [each for each in waiting if each not in reading.records and each not in reading.failures]
        until = time.monotonic() + READ_SECONDS
        for place, source_id in enumerate(waiting):
            if place and time.monotonic() > until:
                late = NotAskedError("answers are slow: not asked for yet")
                reading.failures.update(dict.fromkeys(waiting[place:], late))
                break
            try:
                path = f"{stream.path}/{quote(source_id, safe='')}"
                answer = self.ask(Question(stream.api, stream.path, path, {}, traffic, source_id=source_id))
                reading.records[source_id] = read_record(stream, answer, source_id)
            except NoSuchRecordError:
                reading.missing.add(source_id)
            except SourceError as error:
                reading.failures[source_id] = error
                if isinstance(error, (*SNOOZE, TransientError)) and not _is_of_record(error):
                    # It may be the source, not the record: asking on would only make it worse.
                    reading.failures.update(dict.fromkeys(waiting[place + 1 :], _for_the_rest(error)))
                    break
            finally:
                self._note(reading, [source_id])
        return reading

    def _note(self, reading: Reading, source_ids: Sequence[str]) -> None:
        """The call just made was about these records, if there was one."""
        if self._exchange:
            reading.exchanges.update(dict.fromkeys(source_ids, self._exchange))
            self._exchange = None
        if self._clock:
            reading.clocks.update(dict.fromkeys(source_ids, self._clock))

    def _read_batches(self, stream: Stream, source_ids: Sequence[str], reading: Reading, traffic: Traffic) -> None:
        batch = stream.batch
        assert batch is not None  # noqa: S101  (the caller asked)
        for start in range(0, len(source_ids), batch.size):
            some = source_ids[start : start + batch.size]
            try:
                wanted = {batch.parameter: ",".join(some)}
                page = read_page(stream, self.ask(Question(stream.api, stream.path, batch.path, wanted, traffic)))
                reading.records.update({row.source_id: row.raw for row in page.rows if row.source_id in some})
            except (*SNOOZE, TransientError) as error:
                reading.failures.update(dict.fromkeys(some, error))
                reading.failures.update(dict.fromkeys(source_ids[start + batch.size :], _for_the_rest(error)))
                return
            except SourceError:
                continue  # one of them is gone, or refused; which one, the single reads tell
            finally:
                self._note(reading, some)

    def ask(self, question: Question) -> bytes:
        """The answer's body; raises `SourceError`.

        What is refused is asked for again with a token that is known to live; what is refused then is a matter of
        permissions, for all of a module or for one of its records.
        """
        self._exchange = self._clock = None
        token, host = self._tokens.current()
        try:
            answer = self._ask(question, host, token)
        except TokenRefusedError as refused:
            answer = self._ask_again(question, host, token, refused)
        except OrganizationRefusedError as refused:
            raise self._narrowed_organization(question, host, token, refused) from None
        if self._refused_singly and question.source_id:
            self._refused_singly.pop((question.api, question.group), None)
        return answer

    def _standing(self, question: Question, token: str) -> Standing:
        return self._permissions.standing(
            api=question.api, path=question.group, source_id=question.source_id, token=token
        )

    def _ask_again(self, question: Question, host: str, token: str, refused: SourceError) -> bytes:
        """Ask again, with this token if it lives and with another if it does not.

        A token is renewed for a refusal only where that may help: Zoho gives ten in ten minutes.
        """
        standing = self._standing(question, token)
        if standing.stands:
            raise self._missing(question, token, refused, is_record=standing.is_of_record)
        lives = standing.is_doubtful and self._organizations(question, host, token) is not None
        if not lives and standing.renewal_count >= MOST_RENEWALS:
            raise self._missing(question, None, refused)
        if not lives:
            try:
                token, host = self._tokens.renew(token)
            except (*SNOOZE, TransientError):
                if standing.is_doubtful or self._organizations(question, host, token) is None:
                    raise
        try:
            return self._ask(question, host, token)
        except TokenRefusedError as again:
            raise self._narrowed(question, host, token, again) from None

    def _narrowed_organization(self, question: Question, host: str, token: str, refused: SourceError) -> SourceError:
        """What it means that the organisation was refused: it is another's, or only this part of it is out of reach."""
        standing = self._standing(question, token)
        if standing.stands:
            return self._missing(question, token, refused, is_record=standing.is_of_record)
        there = self._organizations(question, host, token)
        if there is None or self._organization_id not in there:
            return refused
        return self._narrowed(question, host, token, refused)

    def _narrowed(self, question: Question, host: str, token: str, refused: SourceError) -> SourceError:
        """The error for a refusal with a token that lives: the module's, or if the module can be read the record's."""
        module = (question.api, question.group)
        is_list = question.path == question.group
        if is_list or question.method != "GET" or self._refused_singly[module] >= MOST_REFUSED_SINGLY:
            return self._missing(question, token, refused)
        try:
            self._ask_aside(Question(*module, question.group, ONE_ROW, question.traffic), host, token)
        except (TokenRefusedError, OrganizationRefusedError):
            return self._missing(question, token, refused)
        except SourceError as error:
            return _for_the_rest(error)
        if not question.path.startswith(f"{question.group}/"):
            return refused  # one of a batch: which one, the single reads tell
        if not question.source_id:
            return self._missing(question, token, refused)
        self._refused_singly[module] += 1
        return self._missing(question, token, refused, is_record=True)

    def _missing(
        self, question: Question, token: str | None, refused: SourceError, *, is_record: bool = False
    ) -> SourceError:
        source_id = question.source_id if is_record else ""
        return missing(refused, api=question.api, path=question.group, source_id=source_id, token=token)

    def _organizations(self, question: Question, host: str, token: str) -> set[str] | None:
        """The organisations a token reaches; None when it is refused for everything."""
        try:
            asked = Question("books", ORGANIZATIONS, ORGANIZATIONS, {}, question.traffic)
            body = self._ask_aside(asked, host, token)
        except (TokenRefusedError, OrganizationRefusedError):
            return None
        except SourceError as error:
            raise _for_the_rest(error) from None
        return {each.id for each in read_organizations(body)}

    def _ask_aside(self, question: Question, host: str, token: str) -> bytes:
        """Ask what only helps to judge an answer, which stays the one that is told of."""
        exchange = self._exchange
        try:
            return self._ask(question, host, token)
        finally:
            self._exchange = exchange

    def _ask(self, question: Question, host: str, token: str) -> bytes:
        part = question.path.partition("/")[0]
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

    def _call(self, question: Question, host: str, token: str, permit: Permit) -> bytes:
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
        except requests.RequestException as error:
            _count(question, "none")
            self._exchange = Exchange(question.path, None, 0, round(time.monotonic() - began, 3))
            raise TransientError(silence(url, error)) from None
        seconds = time.monotonic() - began
        said = envelope_of(body)
        code = said.code or 0
        permit.answered(answer.status_code, answer.headers, code)
        self._note_answer(question, answer.status_code, code, seconds)
        headers = {key.lower(): value for key, value in answer.headers.items()}
        self._clock = self._read_clock(headers.get("date", ""))
        judge(answer.status_code, said, headers, now=datetime.now(UTC))
        return body

    def _read_clock(self, stamp: str) -> Clock | None:
        with suppress(ValueError):
            now = parsedate_to_datetime(stamp)
            return Clock(now if now.tzinfo else now.replace(tzinfo=UTC), self._clock_tolerance)
        return None

    def _note_answer(self, question: Question, status: int, code: int, seconds: float) -> None:
        _count(question, metrics.status_label(status))
        metrics.api_call_seconds.labels(question.api, question.group).observe(seconds)
        self._exchange = Exchange(question.path, status, code, round(seconds, 3))
        watch.tell("source_call", seconds, path=question.group, status=status)
        log.info("source_call_completed", path=question.path, status=status, duration_seconds=round(seconds, 3))


def _order(stream: Stream) -> dict[str, str]:
    """The parameters that ask for a list in the order of changes."""
    if not stream.modified_key or stream.increment is Increment.FULL or stream.order is Order.NONE:
        return {}
    return {"sort_column": stream.modified_key, "sort_order": "A" if stream.increment is Increment.FILTER else "D"}


def _count(question: Question, status: str) -> None:
    metrics.api_calls.labels(question.api, question.group, question.traffic, status).inc()


def _is_of_record(error: SourceError) -> bool:
    """Whether `error` says nothing of other records."""
    return isinstance(error, PermissionMissingError) and bool(error.source_id)


def _for_the_rest(error: SourceError) -> SourceError:
    """What `error` means for the records that were to be asked for after it."""
    if isinstance(error, SNOOZE):
        return error
    rest = NotAskedError(f"not asked for, after: {error}", after_seconds=error.after_seconds)
    rest.waits_for, rest.heeded = error.waits_for, bool(error.waits_for)
    return rest
