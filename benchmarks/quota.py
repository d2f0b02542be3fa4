"""How well many processes keep to Zoho's limits: eight of them ask for all they can get, at the limits of a real plan.

Time can be compressed: at speed 20 a minute of the stand-in, and of the governor, lasts 3 s, a day 72 minutes.
"""

import argparse
import json
import logging
import multiprocessing
import queue
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import structlog
from werkzeug.serving import WSGIRequestHandler, make_server

from tds_core.errors import QuotaError, RateError, SourceError
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.api_request import ApiCall
from tds_core.sources.zoho.client import ZohoClient
from tds_core.sources.zoho.quota.governor import Governor
from tds_core.sources.zoho.quota.limits import Limits
from tds_core.sources.zoho.quota.redis_counter import RedisCounter
from tds_local.embedded import EmbeddedRedis
from zoho_sandbox.app import create_app
from zoho_sandbox.clock import OrgClock
from zoho_sandbox.sandbox import Sandbox
from zoho_sandbox.settings import Settings

PROCESSES = 8
PER_MINUTE, PER_DAY, AT_ONCE = 100, 1_000, 10
ORGANIZATION = "876543210"
#: Calls a minute each class wants, all processes together; back-fill wants as many as it can get.
WANTED = {Traffic.LIVE: 24.0, Traffic.OPERATOR: 6.0, Traffic.SCHEDULED: 10.0}
NOON = 1_795_348_800.0
ANSWER_SECONDS = 0.15


@dataclass(frozen=True, slots=True)
class Stand:
    """Where the stand-in answers, and how fast its time runs."""

    url: str
    token: str
    redis_url: str
    speed: float
    per_day: int

    def governor(self) -> Governor:
        """A governor of these limits, as each process has one."""
        limits = Limits(
            calls_per_minute=PER_MINUTE,
            calls_per_day={"books": self.per_day, "inventory": self.per_day},
            concurrent_calls=AT_ONCE,
            margin=0.1,
            reserved={Traffic.LIVE: 0.1, Traffic.OPERATOR: 0.05, Traffic.SCHEDULED: 0.15},
            minute_seconds=60 / self.speed,
            day_seconds=86_400 / self.speed,
        )
        ledger = RedisCounter(redis.Redis.from_url(self.redis_url), limits, organization=ORGANIZATION)
        return Governor(limits, ledger, processes=lambda: PROCESSES)


@dataclass(frozen=True, slots=True)
class _Tokens:
    stand: Stand

    def current(self) -> tuple[str, str]:
        return self.stand.token, self.stand.url

    def renew(self, refused: str) -> tuple[str, str]:
        raise RuntimeError(f"The token {refused} was refused.")

    def stored(self, *, other_than: str) -> tuple[str, str] | None:  # noqa: ARG002
        return None

    def is_new(self, token: str) -> bool:
        return token == self.stand.token


@dataclass
class Hammered:
    """What a hammering brought."""

    waits: dict[str, list[float]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    ended_at: dict[str, float] = field(default_factory=dict)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_arguments: object) -> None:
        """Quiet."""


@contextmanager
def stand_in(redis_url: str, speed: float, per_day: int) -> Iterator[tuple[Stand, Sandbox]]:
    """A stand-in with Zoho's own limits whose minutes and days go by `speed` times as fast."""
    began = time.time()
    settings = Settings(
        products=20, customers=5, vendors=1, invoices=5, organization_id=ORGANIZATION, token_refreshes=0,
        calls_per_minute=PER_MINUTE, calls_per_day=per_day, concurrent_calls=AT_ONCE, window_speed=speed,
    )  # fmt: skip
    sandbox = Sandbox(settings, OrgClock("+0300", lambda: NOON + time.time() - began))
    app = create_app(sandbox)

    @app.after_request
    def linger(answer: Any) -> Any:
        time.sleep(ANSWER_SECONDS)  # so that calls overlap
        return answer

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    token = app.test_client().post("/_control/tokens").get_json()["access_token"]
    try:
        yield Stand(url, token, redis_url, speed, per_day), sandbox
    finally:
        server.shutdown()
        thread.join()


def work(stand: Stand, seconds: float, results: Any) -> None:
    """One process: a thread for each class, asking until the time is up or its share of the day is used."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    found, governor = Hammered(), stand.governor()
    threads = [threading.Thread(target=_ask_on, args=(stand, governor, each, seconds, found)) for each in Traffic]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(found)


def _ask_on(stand: Stand, governor: Governor, traffic: Traffic, seconds: float, found: Hammered) -> None:
    client = ZohoClient(_Tokens(stand), organization_id=ORGANIZATION, governor=governor)
    question = ApiCall("books", "invoices", "invoices", {"per_page": "1"}, traffic)
    pause = PROCESSES * 60 / WANTED[traffic] / stand.speed if traffic in WANTED else 0.0
    until = time.time() + seconds
    time.sleep(pause * (int(multiprocessing.current_process().name) + 0.5) / PROCESSES)
    while (wanted_at := time.time()) < until:
        try:
            _ask(client, question, until)
        except QuotaError:
            found.ended_at[traffic] = time.time()
            return
        except SourceError as error:
            found.errors[error.code] += 1
        else:
            found.calls[traffic] += 1
            found.waits.setdefault(traffic, []).append(time.time() - wanted_at - ANSWER_SECONDS)
        time.sleep(max(0.0, wanted_at + pause - time.time()))


def _ask(client: ZohoClient, question: ApiCall, until: float) -> None:
    """Ask until answered, as work that is put off comes back when it was told to."""
    while True:
        try:
            client.ask(question)
            return
        except RateError as error:
            if not error.needs_no_pause or "wait" not in str(error):
                raise
            time.sleep(min(error.after_seconds, max(0.0, until - time.time())))
            if time.time() >= until:
                raise


def hammer(stand: Stand, seconds: float) -> Iterator[Hammered | None]:
    """Let the processes hammer; `None` every half a second meanwhile, in the end what they brought together."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=work, args=(stand, seconds, results), name=str(n)) for n in range(PROCESSES)]
    for process in processes:
        process.start()
    total = Hammered()
    missing = PROCESSES
    while missing:
        try:
            found = results.get(timeout=0.5)
        except queue.Empty:
            yield None
            continue
        missing -= 1
        for traffic, waits in found.waits.items():
            total.waits.setdefault(traffic, []).extend(waits)
        total.calls += found.calls
        total.errors += found.errors
        for traffic, moment in found.ended_at.items():
            total.ended_at[traffic] = min(moment, total.ended_at.get(traffic, moment))
    for process in processes:
        process.join()
    yield total


def measure(*, seconds: float, speed: float, per_day: int = PER_DAY) -> Mapping[str, Any]:
    """Hammer for so many real seconds, or until the day is spent; figures by name."""
    with tempfile.TemporaryDirectory(prefix="tds-bench-") as home:
        Path(home).chmod(0o755)
        with (
            EmbeddedRedis(Path(home), durable=False) as server,
            stand_in(server.url, speed, per_day) as (stand, sandbox),
        ):
            governor, forecasts, began = stand.governor(), [], time.time()
            total = Hammered()
            for found in hammer(stand, seconds):
                if found:
                    total = found
                    break
                said = governor.forecast({}).days[0].runs_out_at.get(Traffic.LIVE)
                if said:
                    forecasts.append((time.time(), said.timestamp()))
            return {"hammered_seconds": round(time.time() - began), **_figures(total, sandbox, forecasts, began)}


def _figures(total: Hammered, sandbox: Sandbox, forecasts: list[tuple[float, float]], began: float) -> dict[str, Any]:
    refused = sum(count for (_, status), count in sandbox.calls.items() if status == 429)
    figures: dict[str, Any] = {
        "refused_by_zoho": refused,
        "calls_at_once_most": sandbox.quota.in_flight_peak,
        "calls_today": sum(sandbox.quota.used()["day"].values()),  # type: ignore[attr-defined]
        **{f"calls_{each}": total.calls[each] for each in Traffic},
        **{f"wait_p95_{name}_s": round(_p95(waits), 2) for name, waits in total.waits.items()},
        **{f"errors_{name}": count for name, count in total.errors.items()},
    }
    spent_at = total.ended_at.get(Traffic.LIVE)
    if spent_at:
        figures["day_spent_after_s"] = round(spent_at - began, 1)
        # How far off was the moment it named half-way, in parts of the time from the first call to the last?
        first_at = forecasts[0][0]
        said = next(said for at, said in forecasts if at >= (first_at + spent_at) / 2)
        figures["forecast_off_percent"] = round(100 * abs(said - spent_at) / (spent_at - first_at), 1)
    return figures


def _p95(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=20)[-1] if len(waits) > 1 else max(waits, default=0.0)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--seconds", type=float, default=900.0, help="real seconds at most")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times as fast time runs")
    parser.add_argument("--per-day", type=int, default=PER_DAY, help="Zoho's limit for a day")
    chosen = parser.parse_args(arguments)
    figures = measure(seconds=chosen.seconds, speed=chosen.speed, per_day=chosen.per_day)
    if chosen.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:24} {value!s:>10}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
