"""The queue as a machine: whoever asks, claims, dies, comes back late or settles, in any order, on a real PostgreSQL.

Beside it runs the promise told once more in plain Python: what stands in the queue, in whose hands, and what is owed.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tds_core.dead_letters import burial
from tds_core.processing.lease_recovery import CRASHES_TO_QUARANTINE, bury_poison, recover_expired_leases
from tds_core.queue import items
from tds_core.queue.items import Claim
from tds_models.db import session_scope
from tests.support.hypothesis_effort import effort
from tests.support.world import World, believe_started, delivery, product

KEYS = ("a", "b", "c", "d")
STANDING = """
select id, source_id, generation, lease_token as token, leased_until < now() as silent, attempts, snoozes, crashes,
    next_attempt_at <= now() as due
from tds_sync_queue
"""
FINISH, RETRY, SNOOZE, GIVE_UP, LEAVE = "finish", "retry", "snooze", "give up", "leave"
#: Whose turn it is: mostly those who claimed last.
WHO = st.integers(0, 3)
FATES = st.fixed_dictionaries(dict.fromkeys(KEYS, st.sampled_from((FINISH, FINISH, RETRY, SNOOZE, GIVE_UP, LEAVE))))


anybody = precondition(lambda machine: bool(machine.claims))


@dataclass
class Owed:
    """One live work item as it should stand. `wish`: how often its record had been asked for when it was claimed."""

    generation: int
    token: Any = None
    claimed_generation: int = 0
    wish: int = 0
    silent: bool = False
    attempts: int = 0
    snoozes: int = 0
    crashes: int = 0
    due: bool = True

    def free(self, *, due: bool, attempts: int) -> None:
        self.token, self.silent, self.due, self.attempts = None, False, due, attempts


class Work(RuleBasedStateMachine):
    """Four records of one entity, any number of workers, and the plain story of what is owed."""

    world: ClassVar[World]
    #: Every webhook ever sent says something new, also to what an earlier example left behind.
    said: ClassVar[int] = 0

    @initialize()
    def begin(self) -> None:
        self.world.execute("delete from tds_sync_queue")
        self.owed: dict[str, Owed] = {}
        self.wishes = dict.fromkeys(KEYS, 0)
        self.answered = dict.fromkeys(KEYS, 0)
        self.finished: set[tuple[str, int]] = set()
        self.newest = 0
        self.claims: list[Claim] = []

    def standing(self) -> dict[str, dict[str, Any]]:
        rows = self.world.rows(STANDING)
        assert len({row["source_id"] for row in rows}) == len(rows), "two live items of one record"
        return {row["source_id"]: row for row in rows}

    # Asking: by an operator or a pass, by a webhook, by the same webhook again.

    @rule(keys=st.sets(st.sampled_from(KEYS), min_size=1), bulk=st.booleans())
    def ask(self, keys: set[str], bulk: bool) -> None:
        self.world.enqueue("product", *keys, bulk=bulk)
        self._asked(keys)

    @rule(key=st.sampled_from(KEYS), twice=st.booleans())
    def deliver(self, key: str, twice: bool) -> None:
        Work.said += 1
        told = delivery("product", product(key, second=Work.said))
        self.world.deliver(told)
        self._asked({key})
        if twice:
            assert self.world.deliver(told)[0].duplicate

    def _asked(self, keys: set[str]) -> None:
        standing = self.standing()
        for key in keys:
            self.wishes[key] += 1
            generation = standing[key]["generation"]
            known = self.owed.get(key)
            # Only a pass that meets a free item which is to be read anyway has nothing to add.
            assert generation > self.newest or (known and known.token is None and generation == known.generation)
            if known is None:
                self.owed[key] = Owed(generation)
            else:
                known.generation, known.due = generation, known.due or standing[key]["due"]
        self.newest = max(self.newest, *(row["generation"] for row in standing.values()))

    # Working: claim, show signs of life, settle; or fall silent, and come back.

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        free = {key for key, owed in self.owed.items() if owed.token is None and owed.due}
        claim = self.world.claim(limit=limit)
        taken = {item.source_id: item for item in claim.items} if claim else {}
        assert set(taken) <= free
        assert bool(taken) == bool(free), "due work was there, and nobody got it"
        assert len(taken) <= limit
        suspects = {key for key in taken if self.owed[key].crashes}
        assert suspects in (set(), set(taken)), "suspects are claimed apart from all else"
        assert claim is None or claim.is_suspect == bool(suspects)
        for key, item in taken.items():
            owed = self.owed[key]
            assert item.generation == owed.generation
            owed.token, owed.claimed_generation, owed.wish = claim and claim.token, item.generation, self.wishes[key]
            owed.attempts += 1
        if claim:
            self.claims.append(claim)

    def worker(self, who: int) -> Claim:
        return self.claims[-1 - who % len(self.claims)]

    def held(self, claim: Claim) -> dict[str, Owed]:
        return {key: owed for key, owed in self.owed.items() if owed.token == claim.token}

    @anybody
    @rule(who=WHO)
    def show_life(self, who: int) -> None:
        claim = self.worker(who)
        with session_scope(self.world.engine) as session:
            assert items.heartbeat(session, token=claim.token, lease_seconds=60) == len(self.held(claim))
        for owed in self.held(claim).values():
            owed.silent = False

    @anybody
    @rule(who=WHO, noticed=st.booleans())
    def fall_silent(self, who: int, noticed: bool) -> None:
        claim = self.worker(who)
        past = "update tds_sync_queue set leased_until = now() - interval '1 second' where lease_token = :token"
        self.world.execute(past, token=claim.token)
        for owed in self.held(claim).values():
            owed.silent = True
        if noticed:
            self._take_back(settling=frozenset())

    @rule()
    def take_back(self) -> None:
        self._take_back(settling=frozenset())

    def _take_back(self, settling: frozenset[str] | set[str]) -> None:
        """Rescue, while the items of `settling` are locked by whoever settles them: that one lives."""
        silent = {key: owed for key, owed in self.owed.items() if owed.silent and key not in settling}
        killers = {key for key, owed in silent.items() if owed.crashes + 1 >= CRASHES_TO_QUARANTINE}
        with session_scope(self.world.engine) as session:
            found = recover_expired_leases(session)
        assert (found.item_count, found.quarantined_count) == (len(silent), len(killers))
        for key, owed in silent.items():
            owed.free(due=True, attempts=owed.attempts)
            owed.crashes += 1
            if key in killers:
                del self.owed[key]
                self.answered[key] = self.wishes[key]

    @anybody
    @rule(who=WHO, fates=FATES, meanwhile=st.booleans())
    def settle(self, who: int, fates: dict[str, str], meanwhile: bool) -> None:
        claim = self.worker(who)
        mine = self.held(claim)
        with session_scope(self.world.engine) as session:
            held = {item.source_id: item for item in items.fence(session, claim, claim.items)}
            assert set(held) == set(mine), "the fence lets through what is ours, and nothing else"
            if meanwhile:
                self._take_back(settling=set(held))
            fated = {fate: [item for key, item in held.items() if fates[key] == fate] for fate in set(fates.values())}
            items.put_back(
                session,
                claim,
                [_back(item, 0) for item in fated.get(RETRY, [])] + [_back(item, 1) for item in fated.get(SNOOZE, [])],
            )
            letters = [_letter(item) for item in fated.get(GIVE_UP, [])]
            burial.bury(session, source=claim.source, entity=claim.entity, letters=letters)
            items.finish(session, claim, [*fated.get(FINISH, []), *fated.get(GIVE_UP, [])])
        for key, owed in mine.items():
            self._settled(key, owed, fates[key])

    def _settled(self, key: str, owed: Owed, fate: str) -> None:
        if fate in (FINISH, GIVE_UP):
            self.answered[key] = max(self.answered[key], owed.wish)
            assert (key, owed.claimed_generation) not in self.finished, "a generation was finished twice"
            self.finished.add((key, owed.claimed_generation))
            if owed.generation == owed.claimed_generation:
                del self.owed[key]
            else:
                owed.free(due=True, attempts=0)
                owed.snoozes = owed.crashes = 0
        elif fate in (RETRY, SNOOZE):
            owed.snoozes += fate == SNOOZE
            owed.free(due=False, attempts=owed.attempts - (fate == SNOOZE))

    @anybody
    @rule(who=WHO)
    def let_go(self, who: int) -> None:
        claim = self.worker(who)
        with session_scope(self.world.engine) as session:
            items.release(session, claim, delay_seconds=0.0)
        for owed in self.held(claim).values():
            owed.free(due=True, attempts=owed.attempts - 1)

    @anybody
    @rule(who=WHO, key=st.sampled_from(KEYS))
    def convict(self, who: int, key: str) -> None:
        """A suspect was tried alone and killed whoever tried it; only who still holds it may say so."""
        claim = self.worker(who)
        item = next((item for item in claim.items if item.source_id == key), None)
        if item:
            with session_scope(self.world.engine) as session:
                bury_poison(session, claim, item)
            held = self.held(claim).get(key)
            if held and held.generation > held.claimed_generation:  # asked for again since: that was not tried
                self.answered[key] = held.wish
                held.free(due=True, attempts=0)
            elif held:
                del self.owed[key]
                self.answered[key] = self.wishes[key]

    @anybody
    @rule(who=WHO)
    def come_back_too_late(self, who: int) -> None:
        """A worker that lost all it held does everything it can, without asking the fence first."""
        claim = self.worker(who)
        if self.held(claim):
            return
        before = self.standing()
        with session_scope(self.world.engine) as session:
            items.put_back(session, claim, [_back(item, 1) for item in claim.items])
            items.finish(session, claim, claim.items)
            items.release(session, claim, delay_seconds=3600.0)
            assert items.heartbeat(session, token=claim.token, lease_seconds=3600) == 0
        assert self.standing() == before

    @rule()
    def wait(self) -> None:
        self.world.execute("update tds_sync_queue set next_attempt_at = now() where lease_token is null")
        for owed in self.owed.values():
            owed.due = owed.due or owed.token is None

    # What always holds.

    @invariant()
    def the_queue_stands_as_the_story_says(self) -> None:
        standing = self.standing()
        assert set(standing) == set(self.owed)
        for key, owed in self.owed.items():
            row = standing[key]
            assert (row["token"], row["generation"], bool(row["silent"])) == (owed.token, owed.generation, owed.silent)
            assert (row["attempts"], row["snoozes"], row["crashes"]) == (owed.attempts, owed.snoozes, owed.crashes)
            assert owed.token is not None or row["due"] == owed.due

    @invariant()
    def nothing_that_was_asked_for_is_forgotten(self) -> None:
        for key in KEYS:
            assert key in self.owed or self.answered[key] == self.wishes[key]


def _back(item: items.Item, uncounted: int) -> dict[str, object]:
    return {
        "id": item.id,
        "delay": 3600.0,
        "uncounted": uncounted,
        "failed": False,
        "must_read": True,
        "error": "put back",
    }


def _letter(item: items.Item) -> dict[str, Any]:
    return {
        "source_id": item.source_id,
        "error_class": "validation",
        "error": "rate: -1 is less than 0",
        "attempts": item.attempts,
        "priority": item.priority,
        "correlation_id": item.correlation_id,
        "generation": item.generation,
    }


def test_in_any_order_one_item_lives_a_record_late_hands_change_nothing_and_nothing_is_forgotten(world: World) -> None:
    believe_started(world, "1 day")
    Work.world = world
    run_state_machine_as_test(Work, settings=effort(35, steps=40))
