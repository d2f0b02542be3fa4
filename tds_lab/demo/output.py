"""Output of the demo: its sentences, the display in plain lines, and the null display for --json."""

import time
from collections.abc import Iterator, Mapping

import requests
from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.common.output import say
from tds_core.database_urls import without_driver
from tds_lab.comparison.spot_check import Sample
from tds_lab.demo.stats import Figures, Load, Snapshot, Watcher
from tds_lab.testbed import Environment

#: The stand-in's counts say "contacts" for what the mirror keeps as customers and vendors.
TITLES = {
    "items": "products",
    "contacts": "customers and vendors",
    "salesorders": "orders",
    "invoices": "invoices",
    "customerpayments": "payments",
    "bills": "bills",
    "creditnotes": "credit notes",
    "inventoryadjustments": "adjustments",
}


def opening(counts: Mapping[str, int]) -> str:
    """The opening sentence."""
    sizes = ", ".join(f"{count:,} {name.replace('-', ' ')}" for name, count in counts.items())
    return f"A Zoho stand-in with {sizes}; Zoho's limits on calls and webhooks are lifted in it. All data is made up."


def addresses(environment: Environment) -> Iterator[tuple[str, str]]:
    """Where to look while it runs."""
    settings, urls = environment.stack.settings, environment.stack.urls
    admin = "  log in as {} with {}".format(*environment.stack.first_admin) if environment.stack.first_admin else ""
    yield "dashboard", f"{urls['dashboard']}{admin}"
    yield "API", urls["api"]
    yield "API docs", urls["docs"]
    yield "Flower", f"{urls['flower']}  login {settings.flower_user} / {settings.flower_password}"
    yield "mirror", f"psql {without_driver(settings.database_url)}"
    yield "stand-in", f"{environment.stand_in.url}/_control/state"
    yield "logs", str(settings.home / "logs")


def first_record(seconds: float) -> str:
    """When the mirror began to fill."""
    return f"The first synced record was in the mirror {seconds:.1f} s after the command began."


def progress(load: Load, expected: int) -> str:
    """How far an entity's first load is: rows of its list, and where those are not the whole record, records read."""
    listed = expected if load.is_listed else load.listed_count
    if load.whole_count is None:
        return f"{listed:,}/{expected:,}"
    return f"{listed:,}/{expected:,} listed, {min(load.whole_count, expected):,} read"


def agreement(sample: Sample) -> str:
    """Whether both sides agree at this moment, and what it is worth."""
    if not sample.counts:
        return "not compared yet"
    counts = "counts equal" if not sample.off_by else f"counts off by {sample.off_by}"
    if not sample.differing_count:
        return f"{counts}; all {sample.record_count} sampled records equal"
    return f"{counts}; {sample.differing_count} of {sample.record_count} sampled records differ"


def milliseconds(value: float | None) -> str:
    """A latency for people."""
    return "-" if value is None else f"{value:,.0f} ms" if value < 10_000 else f"{value / 1000:,.1f} s"


def line(snapshot: Snapshot) -> str:
    """One moment in one line."""
    latency = snapshot.latency_ms
    return (
        f"{snapshot.seconds:6.0f} s  edits {snapshot.edit_count:,} ({snapshot.edits_per_second:.0f}/s)"
        f"  events {snapshot.event_count:,}  p50 {milliseconds(latency['p50'])}  p95 {milliseconds(latency['p95'])}"
        f"  queue {sum(snapshot.queue.values())}  duplicates {snapshot.duplicate_count}"
        f"  forged {snapshot.rejected_count}  API calls {snapshot.api_call_count:,}  {agreement(snapshot.sample)}"
    )


def outcome(report: Figures) -> Iterator[str]:
    """The outcome of the run in a few sentences."""
    latency = report["latency_ms"]
    yield (
        f"{report['edits']:,} edits, {report['events_received']:,} events received, {report['duplicates']:,} duplicates"
        f" and {report['rejected']:,} forgeries recognised; half the events were in the mirror within"
        f" {milliseconds(latency['p50'])}, 95 % within {milliseconds(latency['p95'])}."
    )
    yield (
        f"{report['healed_by_sweep']:,} records put right by the scheduled reads, where webhooks had misled;"
        f" {report['polled_by_sweep']:,} brought by them, of which no webhook ever tells."
    )
    agrees = "yes" if not report["differences"] else f"NO, {report['differences']} differences"
    yield (
        f"Compared {report['records_compared']:,} records and {report['parts_compared']:,} lines of theirs field by"
        f" field. Agreement: {agrees}."
    )
    for problem in report["problems"]:
        yield f"Problem: {problem}"
    for example in report["difference_examples"]:
        yield f"  {example}"


LINE_EVERY_SECONDS = 5.0
PROGRESS_EVERY_SECONDS = 1.0


class LineDisplay:
    """A display in lines on standard output."""

    def __init__(self) -> None:
        self._printed_at = 0.0

    def opening(self, sentence: str) -> None:
        """See `Display`."""
        say(sentence)

    def step(self, name: str, seconds: float, detail: str) -> None:
        """See `Display`."""
        say(f"  {name:<14} {seconds:5.1f} s  {detail}")

    def ready(self, environment: Environment, seconds: float) -> None:
        """See `Display`."""
        say(f"Everything runs after {seconds:.1f} s.")
        for name, address in addresses(environment):
            say(f"  {name:<10} {address}")

    def loading(self, loads: dict[str, Load], expected: dict[str, int]) -> None:
        """See `Display`."""
        if time.monotonic() - self._printed_at >= PROGRESS_EVERY_SECONDS:
            self._printed_at = time.monotonic()
            say("  ".join(f"{name} {progress(load, expected[name])}" for name, load in loads.items()))

    def first_record(self, seconds: float) -> None:
        """See `Display`."""
        say(first_record(seconds))

    def loaded(self, seconds: float) -> None:
        """See `Display`."""
        say(f"The first load took {seconds:.1f} s. Now the stand-in is edited; differences in flight are normal.")

    def watch_edits(self, environment: Environment, until: float | None) -> None:
        """See `Display`."""
        watcher = Watcher(environment)
        while until is None or time.monotonic() < until:
            wait = LINE_EVERY_SECONDS if until is None else min(LINE_EVERY_SECONDS, until - time.monotonic())
            time.sleep(max(0.0, wait))
            try:
                say(line(watcher.look()))
            except (SQLAlchemyError, requests.RequestException) as error:
                say(f"        no answer just now ({type(error).__name__})")

    def closing(self, sentence: str) -> None:
        """See `Display`."""
        say(sentence)

    def closed(self, report: Figures) -> None:
        """See `Display`."""
        for sentence in outcome(report):
            say(sentence)

    def close(self) -> None:
        """See `Display`."""


class NullDisplay:
    """A display that shows nothing."""

    def opening(self, sentence: str) -> None:
        """See `Display`."""

    def step(self, name: str, seconds: float, detail: str) -> None:
        """See `Display`."""

    def ready(self, environment: Environment, seconds: float) -> None:
        """See `Display`."""

    def loading(self, loads: dict[str, Load], expected: dict[str, int]) -> None:
        """See `Display`."""

    def first_record(self, seconds: float) -> None:
        """See `Display`."""

    def loaded(self, seconds: float) -> None:
        """See `Display`."""

    def watch_edits(self, environment: Environment, until: float | None) -> None:  # noqa: ARG002 (others look at it)
        """See `Display`."""
        while until is None or time.monotonic() < until:
            time.sleep(0.2 if until is None else min(0.2, max(0.0, until - time.monotonic())))

    def closing(self, sentence: str) -> None:
        """See `Display`."""

    def closed(self, report: Figures) -> None:
        """See `Display`."""

    def close(self) -> None:
        """See `Display`."""
