"""Dispatch of webhooks: the rules a change matches, the faults drawn, the day's cap, and the sender."""

import math
import random
import threading
import time
import zlib
from itertools import chain
from typing import Any

from zoho_sandbox.clock import FastClock, OrgClock
from zoho_sandbox.settings import Settings
from zoho_sandbox.webhooks.bodies import forged, partial
from zoho_sandbox.webhooks.daily_cap import DailyCap
from zoho_sandbox.webhooks.delivery_log import DeliveryLog
from zoho_sandbox.webhooks.faults import WebhookFaults
from zoho_sandbox.webhooks.queued_delivery import Delivery
from zoho_sandbox.webhooks.rules import Rule, Target, target_of
from zoho_sandbox.webhooks.sender import Sender
from zoho_sandbox.world import Change

_DUPLICATE_WITHIN_SECONDS = 0.5


class WebhookDispatch:
    """Takes every committed change and sees to its deliveries."""

    def __init__(self, settings: Settings, clock: OrgClock, windows: FastClock) -> None:
        self.faults = WebhookFaults()
        self.log = DeliveryLog()
        self.cap = DailyCap(settings.webhooks_per_day, clock, windows)
        self._clock = clock
        # Rules by who set them (the control interface, the organisation's workflows), and all by what they hear.
        self._rules: dict[str, list[Rule]] = {}
        self._targets: dict[tuple[str, str], list[tuple[Rule, Target]]] = {}
        self._random = random.Random(settings.seed)
        self._senders = [Sender(self._settle, number) for number in range(settings.webhook_senders)]
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._held: dict[tuple[str, int], Delivery] = {}
        self._pending_count = 0
        self._sequence = 0
        self._forged_at = -math.inf

    def start(self) -> None:
        for sender in self._senders:
            sender.start()

    def stop(self) -> None:
        for sender in self._senders:
            sender.stop()

    def set_rules(self, rules: list[Rule], origin: str = "control") -> None:
        """Replace all rules of one origin."""
        self._rules[origin] = rules
        targets: dict[tuple[str, str], list[tuple[Rule, Target]]] = {}
        for rule in chain.from_iterable(self._rules.values()):
            targets.setdefault((rule.module, rule.event), []).append((rule, target_of(rule)))
        self._targets = targets

    def rules(self, origin: str = "control") -> list[Rule]:
        return self._rules.get(origin, [])

    def announce(self, change: Change) -> None:
        """Called with the world locked, after the commit, so deliveries are queued in the order of changes."""
        heard = self._targets.get((change.collection.shape.rule_module(change.record), change.event), ())
        for lane, (rule, target) in enumerate(heard):
            self._announce_to(change, rule, target, lane)

    def _announce_to(self, change: Change, rule: Rule, target: Target, lane: int) -> None:
        """Owe one rule its delivery; `lane` keeps the held deliveries of rules for the same event apart."""
        faults, chance = self.faults, self._random.random
        if faults.drop and chance() < faults.drop:
            self.log.withhold("dropped")
            return
        if not self.cap.admits():
            self.log.withhold("capped")
            return
        delivery = self._delivery(change, rule, target)
        delivery.lane = lane
        with self._lock:
            earlier = self._held.pop(delivery.place, None)
            if earlier is None and faults.reorder and chance() < faults.reorder:
                self._held[delivery.place] = delivery
                delivery.due_at += faults.reorder_hold_seconds
            self._queue(delivery)
            if earlier is not None:
                kind = "reordered" if earlier.kind == "genuine" else earlier.kind
                self._sender(delivery.record_id).release(earlier, kind, delivery.due_at)
            if faults.duplicate and chance() < faults.duplicate:
                self._queue(self._copy(delivery, "duplicate", delivery.detail, chance() * _DUPLICATE_WITHIN_SECONDS))
            if faults.forge and chance() < faults.forge and self._forger_is_due():
                self._queue(self._copy(delivery, "forged", forged(delivery.detail), 0.0))

    def flush(self, timeout_seconds: float) -> int:
        """Release what is held and wait until nothing is pending; answers how many still are."""
        with self._idle:
            for delivery in self._held.values():
                self._sender(delivery.record_id).release(delivery, delivery.kind, time.monotonic())
            self._held.clear()
            self._idle.wait_for(lambda: self._pending_count == 0, timeout_seconds)
            return self._pending_count

    def state(self) -> dict[str, Any]:
        with self._lock:
            pending = {"pending_count": self._pending_count, "held_count": len(self._held)}
        return self.log.counts() | pending | {"day_count": self.cap.used()}

    def _delivery(self, change: Change, rule: Rule, target: Target) -> Delivery:
        faults, chance, record = self.faults, self._random.random, change.record
        kind, detail = "genuine", change.collection.detail(record, keep=change.after is not None)
        if change.before is not None and change.after is not None and faults.stale and chance() < faults.stale:
            kind, detail = "stale", change.collection.detail(change.before)
        elif faults.partial and chance() < faults.partial:
            kind, detail = "partial", partial(detail, change.collection.shape.id_key, self._random)
        delivery = Delivery(0, rule, target, change.collection.shape.wrapper, record.id, kind, detail)
        if faults.delay_seconds[1]:
            delivery.due_at += self._random.uniform(*faults.delay_seconds)
        return delivery

    def _forger_is_due(self) -> bool:
        now = time.monotonic()
        due = now - self._forged_at >= self.faults.forge_gap_seconds
        if due:
            self._forged_at = now
        return due

    def _copy(self, delivery: Delivery, kind: str, detail: bytes, after_seconds: float) -> Delivery:
        return Delivery(
            0,
            delivery.rule,
            delivery.target,
            delivery.wrapper,
            delivery.record_id,
            kind,
            detail,
            delivery.due_at + after_seconds,
        )

    def _queue(self, delivery: Delivery) -> None:
        """Number a new delivery and give it to its sender. Lock held."""
        self._sequence += 1
        delivery.sequence = self._sequence
        self._pending_count += 1
        self._sender(delivery.record_id).put(delivery)

    def _sender(self, record_id: str) -> Sender:
        return self._senders[zlib.crc32(record_id.encode()) % len(self._senders)]

    def _settle(self, delivery: Delivery, status: int | None, error: str) -> None:
        """Record an attempt; by retry policy, plan the next."""
        self.log.note(
            {
                "sequence": delivery.sequence,
                "module": delivery.rule.module,
                "event": delivery.rule.event,
                "record_id": delivery.record_id,
                "kind": delivery.kind,
                "status_code": status,
                "error": error,
                "attempt": delivery.attempt,
                "sent_at": round(self._clock.source(), 3),
            }
        )
        pauses = self.faults.retry_seconds
        failed = status is None or not 200 <= status < 300
        if failed and delivery.attempt <= len(pauses) and delivery.kind != "forged":
            delivery.due_at = time.monotonic() + pauses[delivery.attempt - 1]
            delivery.attempt += 1
            self._sender(delivery.record_id).put(delivery)
            return
        with self._idle:
            self._pending_count -= 1
            if self._held.get(delivery.place) is delivery:
                del self._held[delivery.place]
            if self._pending_count == 0:
                self._idle.notify_all()
