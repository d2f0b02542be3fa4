"""`tds demo`: real processes, thousands of records, everything webhooks do wrong; at the end both sides are equal."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tds_lab.zoho_stand_in import SIZES
from tests.acceptance.demo_process import DemoProcess, demo, eventually, living

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def report() -> Iterator[dict[str, Any]]:
    """What a demo of twenty seconds, which loses webhooks too, says at its end."""
    with demo("--for", "20", "--rate", "30", "--drop", "0.03") as running:
        yield running.report()


def test_every_record_of_both_sides_is_equal(report: dict[str, Any]) -> None:
    assert report["difference_examples"] == []
    assert report["differences"] == 0
    assert report["records_compared"] > 8000
    assert report["parts_compared"] > 15_000
    assert report["problems"] == []
    assert report["exit_code"] == 0


def test_every_event_has_its_verdict(report: dict[str, Any]) -> None:
    assert report["events_without_verdict"] == 0
    assert report["events_received"] == sum(report["verdicts"].values()) > 300
    assert report["owed"] == {"events": 0, "items": 0, "runs": 0}


def test_the_faults_really_happened(report: dict[str, Any]) -> None:
    assert {"genuine", "duplicate", "stale", "partial", "forged"} <= set(report["deliveries"])
    assert report["dropped"] > 0
    assert report["healed_by_sweep"] > 0


def test_what_no_webhook_tells_of_is_found_by_the_scheduled_reads(report: dict[str, Any]) -> None:
    assert report["polled_by_sweep"] > 0


def test_duplicates_and_forgeries_are_recognised(report: dict[str, Any]) -> None:
    assert set(report["deliveries"]["forged"]) == {"401"}
    assert report["rejected"] == report["deliveries"]["forged"]["401"]
    assert report["duplicates"] > 0


def test_half_the_events_are_in_the_mirror_within_a_second(report: dict[str, Any]) -> None:
    assert report["latency_ms"]["p50"] < 1000


def test_the_first_load_came_without_a_call_for_each_record(report: dict[str, Any]) -> None:
    # Documents one by one, the rest in hundreds; what more there is are deletions, ties, partial bodies and stock.
    documents = ("orders", "invoices", "payments", "bills", "credit-notes", "adjustments")
    assert report["api_calls"] < sum(SIZES["usual"][name] for name in documents) + report["events_received"]


def test_the_plain_demo_speaks_in_lines_and_closes_in_order_when_it_is_stopped() -> None:
    small = ("--size", "small")
    with demo("--rate", "20", *small, as_json=False) as running:
        running.wait_for_events()
        family = running.family()
        running.process.send_signal(signal.SIGINT)
        out, errors = running.process.communicate(timeout=90)
        assert running.process.returncode == 0, errors
        assert eventually(lambda: not living(family))
    assert "The first synced record was in the mirror" in out
    assert "psql postgresql://" in out
    assert "Edits stopped" in out
    assert "Agreement: yes" in out


@pytest.mark.long
def test_a_second_demo_in_the_same_home_names_the_one_that_runs() -> None:
    small = ("--size", "small")
    with demo("--rate", "20", *small) as running:
        running.wait_for_events(1)
        second = DemoProcess(running.home.parent, "--for", "1", *small)
        _, errors = second.process.communicate(timeout=60)
        assert second.process.returncode == 3
        assert str(running.process.pid) in errors
