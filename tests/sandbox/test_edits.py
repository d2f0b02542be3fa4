"""The stream of edits changes what it says it changes, over and over the same few records among others."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.sandbox.conftest import Listener
from zoho_sandbox.edits.edit_kinds import USUAL_MIX
from zoho_sandbox.edits.stream import EditStream
from zoho_sandbox.entities.creditnotes import credit_left
from zoho_sandbox.entities.document_common import totals
from zoho_sandbox.sandbox import Sandbox
from zoho_sandbox.webhooks.rules import MODULES
from zoho_sandbox.world import Change

Control = Callable[..., Any]


def steps(sandbox: Sandbox, count: int) -> tuple[EditStream, list[Change]]:
    changes: list[Change] = []
    sandbox.world.listeners.append(changes.append)
    stream = EditStream(sandbox.world, seed=11)
    for _ in range(count):
        stream.step()
    return stream, changes


def test_every_kind_of_edit_happens_and_leaves_nothing_refused_but_little(sandbox: Sandbox) -> None:
    stream, changes = steps(sandbox, 6000)
    assert set(USUAL_MIX) <= set(stream.counts)
    assert stream.counts["refused"] < 300
    # Documents move stock and pay invoices, so there are more changes than edits.
    assert len(changes) > stream.state()["edit_count"]
    events = {(change.collection.shape.name, change.event) for change in changes}
    assert len(events) == 10 * 3


def test_edits_leave_no_stock_below_nothing_and_no_invoice_overpaid(sandbox: Sandbox) -> None:
    steps(sandbox, 3000)
    records = {name: held.records.values() for name, held in sandbox.world.collections.items()}
    assert all(min(item.state.get("stocks", [0])) >= 0 for item in records["items"])
    applied: Counter[str] = Counter()
    for payment in records["customerpayments"]:
        for part in payment.state["invoices"]:
            applied[part["invoice_id"]] += part["amount_applied"]
    credited: Counter[str] = Counter()
    for credit in records["creditnotes"]:
        assert credit_left(credit.state) >= 0
        for part in credit.state.get("invoices", ()):
            credited[part["invoice_id"]] += part["amount"]
    for invoice in records["invoices"]:
        sums = totals(invoice.state)
        assert sums["payment_made"] == round(applied[invoice.id], 2)
        assert sums["credits_applied"] == round(credited[invoice.id], 2)
        assert sums["balance"] >= 0


def test_time_never_runs_backwards_and_bursts_hit_the_same_record(sandbox: Sandbox) -> None:
    _stream, changes = steps(sandbox, 600)
    edits = [change for change in changes if change.event == "edited"]
    assert all(change.after.modified >= change.before.modified for change in edits)
    assert Counter(change.record.id for change in edits).most_common(1)[0][1] >= 5
    in_one_second = Counter((change.record.id, change.record.modified) for change in edits)
    assert in_one_second.most_common(1)[0][1] >= 2


def test_the_same_seed_makes_the_same_edits(sandbox: Sandbox) -> None:
    twin = Sandbox(sandbox.settings)
    assert steps(sandbox, 200)[0].counts == steps(twin, 200)[0].counts
    for name, collection in sandbox.world.collections.items():
        mine = {record.id: record.state for record in collection.records.values()}
        assert mine == {record.id: record.state for record in twin.world.collections[name].records.values()}


def test_lists_stay_sorted_and_complete_under_edits(sandbox: Sandbox) -> None:
    items = sandbox.world.collections["items"]
    views = [items.view(facets, column) for facets in ((), (("status", "active"),)) for column in items.shape.columns]
    steps(sandbox, 800)
    for entries in views:
        assert entries == sorted(entries)
    assert {record_id for _key, record_id in views[0]} == set(items.records)


def test_deleted_records_had_nothing_standing_on_them(sandbox: Sandbox) -> None:
    steps(sandbox, 1500)
    invoices = sandbox.world.collections["invoices"].records.values()
    used = {line["item_id"] for record in invoices for line in record.state["lines"]}
    used |= {record.state["customer_id"] for record in invoices}
    gone = {*sandbox.world.collections["items"].deleted, *sandbox.world.collections["contacts"].deleted}
    assert len(gone) > 10
    assert not used & gone


def test_a_stream_runs_at_its_rate_for_its_time_and_tells_every_edit(control: Control, listener: Listener) -> None:
    rules = [
        {"module": module, "event": event, "url": listener.url}
        for module in MODULES
        for event in ("created", "edited", "deleted")
    ]
    control("POST", "/webhooks", rules)
    assert control("POST", "/edits/start", {"rate_per_second": 100, "seconds": 1})["running"]
    time.sleep(1.2)
    stopped = control("POST", "/edits/stop")
    assert not stopped["running"]
    assert 90 <= stopped["edit_count"] + stopped["counts"].get("refused", 0) <= 101
    control("POST", "/flush", {"timeout_seconds": 10})
    state = control("GET", "/state")
    silent = ("pricebooks", "users")
    told = sum(count for name, count in state["changes"].items() if not name.startswith(silent))
    assert state["deliveries"]["by_kind"] == {"genuine": {"200": told}}
    assert len(listener.heard) == told
