"""Deafness: only canaries left lying before an idle worker prove it; neither age nor work in hand does."""

from dataclasses import replace

import pytest

from tds_core.healing.worker_status import BUSY_SECONDS, WorkerSnapshot, not_consuming_reason

WELL = WorkerSnapshot(
    silent_seconds=1,
    heard_seconds=2,
    loop_seconds=1,
    unanswered_count=0,
    unanswered_seconds=0,
    busy_count=0,
    slot_count=2,
    lost_queues=(),
)
DEAF = replace(WELL, heard_seconds=70, unanswered_count=4, unanswered_seconds=62)


def verdict(snapshot: WorkerSnapshot) -> str:
    return not_consuming_reason(snapshot, patience_seconds=60)


def test_who_leaves_canary_after_canary_does_not_consume() -> None:
    assert verdict(DEAF) == "left 4 canaries unheard in 62 s"


def test_who_hears_is_not() -> None:
    assert verdict(WELL) == ""


def test_silence_alone_proves_nothing_when_nobody_spoke() -> None:
    assert verdict(replace(WELL, heard_seconds=10_000)) == ""
    assert verdict(replace(DEAF, unanswered_count=2)) == "", "Redis may have lost one, and one may be on its way"
    assert verdict(replace(DEAF, unanswered_seconds=59)) == ""


def test_any_message_taken_up_since_proves_that_it_hears() -> None:
    assert verdict(replace(DEAF, heard_seconds=61)) == ""


def test_a_worker_with_all_children_busy_is_excused() -> None:
    assert verdict(replace(DEAF, busy_count=2)) == ""
    assert verdict(replace(DEAF, busy_count=1)) != "", "a free hand takes up what is heard"


def test_hands_full_longer_than_any_task_may_take_are_stuck() -> None:
    assert verdict(replace(DEAF, busy_count=2, heard_seconds=BUSY_SECONDS + 1)) != ""


def test_hands_full_do_not_excuse_a_loop_that_stands_still() -> None:
    assert verdict(replace(DEAF, busy_count=2, loop_seconds=61)) == "its main loop stands still for 61 s"


def test_a_queue_that_was_lost_is_reported_by_name() -> None:
    assert verdict(replace(WELL, lost_queues=["tds.high"])) == "no longer consumes tds.high"


@pytest.mark.parametrize("snapshot", [DEAF, replace(WELL, lost_queues=["tds.high"])])
def test_nobody_is_judged_by_an_old_report(snapshot: WorkerSnapshot) -> None:
    assert verdict(replace(snapshot, silent_seconds=31)) == ""
