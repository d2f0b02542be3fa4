"""A letter becomes work again, its events get their verdict when that ends, and it keeps its history."""

import threading

import msgspec
import pytest

from tds_core.dead_letters import operator_actions, queries, retry
from tds_core.dead_letters.retry import DeadLetterClosedError, InvalidEditError, RetryInProgressError
from tds_core.errors import InvalidRecordError, NotFoundError
from tds_models.db import session_scope
from tds_tasks import schedule
from tests.support.database_role import REFUSED_CHANGE
from tests.support.dead_letters import broken_promises, dead, letter, many, mend
from tests.support.world import ScriptedSource, World, at, delivery, forget_context, product

ID = "460000000000001"


def revive(world: World, letter_id: int, by: str = "ann") -> str:
    with session_scope(world.engine) as session:
        return retry.retry(session, letter_id, by=by)


def history(world: World, letter_id: int) -> list[tuple[str, str | None]]:
    with session_scope(world.engine) as session:
        return [(row["requested_by"], row["outcome"]) for row in queries.dead_letter(session, letter_id)["revivals"]]


def test_a_retried_letter_is_work_again_and_its_event_ends_applied(world: World, source: ScriptedSource) -> None:
    [letter_id] = dead(world, source, ID)
    assert world.verdicts() == ["dead_lettered"]
    mend(source, ID)
    assert revive(world, letter_id) == "product"
    assert world.value("select origin from tds_sync_queue") == "revive"
    assert world.verdicts() == [None]
    world.drain("product")
    assert world.verdicts() == ["applied"]
    assert letter(world, letter_id)["resolution"] == "revived"
    assert history(world, letter_id) == [("ann", "created")]
    assert world.audit("product", ID)[0]["origin"] == "revive"
    assert source.traffic[-1] == "operator"


def test_a_letter_that_dies_again_goes_on_with_what_it_died_of_now(world: World, source: ScriptedSource) -> None:
    [letter_id] = dead(world, source, ID)
    source.records[ID] = InvalidRecordError("rate: -4 is less than 0")
    revive(world, letter_id)
    world.drain("product")
    found = letter(world, letter_id)
    assert (found["error_class"], found["resolved_at"], found["attempts"]) == ("validation", None, 2)
    assert world.value("select count(*) from tds_dead_letter_queue") == 1
    assert world.verdicts() == ["dead_lettered"]
    mend(source, ID)
    revive(world, letter_id, by="bob")
    world.drain("product")
    assert history(world, letter_id) == [("ann", "dead"), ("bob", "created")]
    died_of = [row["died_of"] for row in world.rows("select died_of from tds_dead_letter_revivals order by id")]
    assert died_of == ["permanent: HTTP 400, code 9: no", "validation: rate: -4 is less than 0"]


def test_the_same_problem_met_again_is_the_same_letter(world: World, source: ScriptedSource) -> None:
    [letter_id] = dead(world, source, ID)
    before = letter(world, letter_id)
    world.enqueue("product", ID)
    world.drain("product")
    assert world.value("select count(*) from tds_dead_letter_queue") == 1
    again = letter(world, letter_id)
    assert (again["dead_at"], again["attempts"]) == (before["dead_at"], 2)
    assert again["last_dead_at"] > again["dead_at"]


def test_a_letter_is_retried_once_at_a_time(world: World, source: ScriptedSource) -> None:
    [letter_id] = dead(world, source, ID)
    revive(world, letter_id)
    with pytest.raises(RetryInProgressError):
        revive(world, letter_id)
    mend(source, ID)
    world.drain("product")
    with pytest.raises(DeadLetterClosedError):
        revive(world, letter_id)
    with pytest.raises(NotFoundError):
        revive(world, 999_999)


def test_of_many_who_retry_a_letter_at_once_one_does(world: World, source: ScriptedSource) -> None:
    [letter_id] = dead(world, source, ID)
    refused: list[Exception] = []

    def attempt() -> None:
        try:
            revive(world, letter_id)
        except RetryInProgressError as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    assert len(history(world, letter_id)) == 1


def test_events_of_a_letter_a_person_closed_stay_as_they_ended(world: World, source: ScriptedSource) -> None:
    [first] = dead(world, source, ID)
    with session_scope(world.engine) as session:
        operator_actions.resolve(session, first, note="a test record", by="ann")
    source.records[ID] = InvalidRecordError("rate: -4 is less than 0")
    world.deliver(delivery("product", product(second=3), complete=False))
    world.drain("product")
    second = world.value("select id from tds_dead_letter_queue where resolved_at is null")
    mend(source, ID)
    revive(world, second)
    world.drain("product")
    assert world.verdicts() == ["dead_lettered", "applied"]
    assert letter(world, first)["resolution"] == "resolved"


def test_work_that_waits_already_takes_the_letter_along(world: World, source: ScriptedSource) -> None:
    [letter_id] = dead(world, source, ID)
    mend(source, ID)
    world.deliver(delivery("product", product(second=5), complete=False))
    revive(world, letter_id)
    assert world.queue_depth("product") == 1
    world.drain("product")
    assert world.verdicts() == ["superseded", "applied"]
    assert letter(world, letter_id)["resolution"] == "revived"


def test_what_people_do_is_written_down_and_cannot_be_edited(world: World, source: ScriptedSource) -> None:
    [letter_id] = dead(world, source, ID)
    with session_scope(world.engine) as session:
        operator_actions.assign(session, letter_id, to="bob", by="ann")
        operator_actions.resolve(session, letter_id, note="known", by="bob")
        actions = queries.dead_letter(session, letter_id)["actions"]
    assert [(each["operator"], each["action"]) for each in actions] == [("ann", "assigned"), ("bob", "resolved")]
    assert actions[1]["detail"] == {"note": "known"}
    with pytest.raises(Exception, match=REFUSED_CHANGE):
        world.execute("update tds_dead_letter_actions set operator = 'eve'")
    with pytest.raises(DeadLetterClosedError), session_scope(world.engine) as session:
        operator_actions.assign(session, letter_id, to="eve", by="eve")


def edit(world: World, letter_id: int, **record: object) -> None:
    with session_scope(world.engine) as session:
        operator_actions.edit(session, letter_id, record=msgspec.json.encode({**product(ID), **record}), by="ann")


def test_an_edited_record_is_what_the_next_retry_applies(world: World, source: ScriptedSource) -> None:
    source.records[ID] = InvalidRecordError("rate: -4 is less than 0")
    world.deliver(delivery("product", product(rate=-4), complete=False))
    world.drain("product")
    letter_id = world.value("select id from tds_dead_letter_queue")
    edit(world, letter_id, rate=4)
    asked = len(source.asked)
    revive(world, letter_id)
    world.drain("product")
    assert len(source.asked) == asked
    assert world.row("product", ID)["price"] == 4
    assert world.audit("product", ID)[0]["origin"] == "operator"
    assert world.verdicts() == ["superseded", "applied"]
    assert history(world, letter_id) == [("ann", "created")]
    changes = world.value("select detail -> 'changes' from tds_dead_letter_actions")
    assert changes == {"rate": [-4, 4]}
    assert broken_promises(world) == []


def test_an_edit_that_would_die_again_is_refused_with_every_field(world: World, source: ScriptedSource) -> None:
    [letter_id] = dead(world, source, ID)
    with pytest.raises(InvalidEditError, match="rate: -1 is less than 0"):
        edit(world, letter_id, rate=-1)
    with pytest.raises(InvalidEditError, match="the letter is about"):
        edit(world, letter_id, item_id="7")
    assert letter(world, letter_id)["edited_at"] is None


def test_an_edited_record_takes_no_newer_row_backwards(world: World, source: ScriptedSource) -> None:
    [letter_id] = dead(world, source, ID)
    edit(world, letter_id, rate=4)
    world.execute("update tds_dead_letter_queue set resolved_at = null")
    world.deliver(delivery("product", product(second=60, rate=7)))
    revive(world, letter_id)
    world.drain("product")
    assert world.row("product", ID)["price"] == 7
    assert world.row("product", ID)["source_modified_at"] == at(60)


def cycle(world: World, monkeypatch: pytest.MonkeyPatch, *, hours: float = 25) -> str:
    monkeypatch.setenv("TDS_REVIVE_AT_ONCE", "50")
    forget_context()
    world.execute(
        "update tds_dead_letter_queue set last_dead_at = last_dead_at - make_interval(secs => :s)", s=hours * 3600
    )
    return schedule.JOBS["revive"]({})


def test_letters_are_retried_by_themselves_after_a_day_three_times_and_then_stay(
    world: World, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    [letter_id] = dead(world, source, ID)
    assert cycle(world, monkeypatch, hours=23) == "0 dead letters"
    for _ in range(3):
        assert cycle(world, monkeypatch) == "1 dead letters"
        assert cycle(world, monkeypatch) == "0 dead letters"
        world.drain("product")
    assert cycle(world, monkeypatch) == "0 dead letters"
    assert history(world, letter_id) == [("timetable", "dead")] * 3
    assert letter(world, letter_id)["resolved_at"] is None
    assert source.traffic[-1] == "backfill"
    mend(source, ID)
    revive(world, letter_id)
    world.drain("product")
    assert letter(world, letter_id)["resolution"] == "revived"


def test_fifty_are_retried_in_a_cycle_the_urgent_first_and_no_poison(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(world, 60)
    world.execute("update tds_dead_letter_queue set priority = 2 where id > 40")
    world.execute("update tds_dead_letter_queue set error_class = 'crashed' where id = 60")
    assert cycle(world, monkeypatch) == "50 dead letters"
    retried = {row["letter_id"] for row in world.rows("select letter_id from tds_dead_letter_revivals")}
    assert retried == {*range(41, 60), *range(1, 32)}
    assert cycle(world, monkeypatch) == "9 dead letters"
