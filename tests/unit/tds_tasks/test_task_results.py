"""The sentence a task leaves behind in Flower."""

import pytest

from tds_models.runs import Run
from tds_tasks import task_results
from tds_tasks.task_results import WorkFailedError, WorkSummary, ended, run_sentence


def summary(counts: dict[str, int], events: tuple[int, ...] = ()) -> WorkSummary:
    with task_results.summarized() as made:
        task_results.count_records(counts)
        task_results.count_events(events)
    return made


@pytest.mark.parametrize(
    ("counts", "events", "sentence"),
    [
        ({}, (), "product: nothing was due"),
        (
            {"created": 7, "updated": 5, "retry": 1},
            (112, 101, 104),
            "product: 12 applied, 1 retried, 0 dead-lettered, events 101-112",
        ),
        ({"unchanged": 2}, (9,), "product: 0 applied, 2 unchanged, 0 retried, 0 dead-lettered, event 9"),
        ({"snooze": 3, "overtaken": 1}, (), "product: 0 applied, 4 put off, 0 retried, 0 dead-lettered"),
        (
            {"alone": 2, "dead": 1},
            (),
            "product: 0 applied, 2 tried in processes of their own, 0 retried, 1 dead-lettered",
        ),
    ],
)
def test_a_result_is_one_sentence(counts: dict[str, int], events: tuple[int, ...], sentence: str) -> None:
    assert summary(counts, events).sentence("product") == sentence


@pytest.mark.parametrize(("outcome", "fails"), [("created", False), ("snooze", False), ("retry", True), ("dead", True)])
def test_a_task_fails_when_an_attempt_at_a_record_did(outcome: str, fails: bool) -> None:
    assert summary({outcome: 1}).has_failures is fails


def test_parts_of_a_task_add_up() -> None:
    with task_results.summarized() as made:
        task_results.count_records({"created": 1})
        task_results.count_events([5])
        task_results.count_records({"created": 2})
        task_results.count_events([3])
    assert made.sentence("vendor") == "vendor: 3 applied, 0 retried, 0 dead-lettered, events 3-5"


def test_what_is_done_outside_a_task_is_counted_nowhere() -> None:
    task_results.count_records({"created": 1})
    assert summary({}).sentence("product") == "product: nothing was due"


def test_a_failure_is_raised_with_its_sentence() -> None:
    assert ended("all well", failed=False) == "all well"
    with pytest.raises(WorkFailedError, match=r"^1 failed$"):
        ended("1 failed", failed=True)


def test_a_run_tells_how_far_it_is() -> None:
    run = Run(id=7, entity="product", mode="full", state="completed", page_count=3, outcomes={"created": 250})
    assert run_sentence(run) == "run 7, product, full: completed, 3 pages, 250 created"
