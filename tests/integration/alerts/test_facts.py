"""Facts are read once for an evaluation, each part when it is needed, and what cannot be read is not made up."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rules import RULES
from tds_core.breakers.registry import Breakers, BreakersAwayError
from tds_core.config.settings import load_settings
from tds_core.sources.zoho.quota.usage_snapshot import QuotaUnknownError
from tds_models.db import session_scope
from tests.support.alert_faults import FAULTS
from tests.support.installation import Installation, installation


@pytest.fixture
def here(engine: Engine, tmp_path: Path, redis_url: str) -> Installation:
    return installation(engine, str(tmp_path), redis_url)


def test_an_evaluation_of_a_quiet_installation_takes_few_statements(here: Installation) -> None:
    here.start()
    here.all_met()
    statements = []
    event.listen(here.engine, "after_cursor_execute", lambda *given: statements.append(given[2]))
    here.all_met()
    assert len(statements) <= 20, statements


def test_a_part_is_read_once(here: Installation) -> None:
    facts = here.facts()
    assert facts.health is facts.health
    assert facts.signs is facts.signs


def test_without_redis_what_it_holds_is_unknown_not_in_order(here: Installation) -> None:
    FAULTS["redis_lost"].make(here)
    facts = here.facts()
    with pytest.raises(BreakersAwayError):
        _ = facts.breaker_states
    with pytest.raises(QuotaUnknownError):
        _ = facts.quota


def test_without_a_redis_in_the_settings_there_is_none_to_lose(engine: Engine, tmp_path: Path) -> None:
    settings = load_settings({"TDS_HOME": str(tmp_path)})
    facts = AlertFacts(lambda: session_scope(engine), settings, Breakers())
    assert (facts.redis_answers, facts.breaker_states) == (True, [])
    for rule in RULES:
        if rule.measure:
            list(rule.measure(facts))


def test_clocks_of_one_machine_agree(here: Installation) -> None:
    assert abs(here.facts().clock_skew_seconds) < 1
    assert here.met("clock_skew") == {}


def test_a_clock_of_another_machine_that_is_ahead_is_seen(here: Installation) -> None:
    facts = here.facts()
    facts.__dict__["_timed_signs"] = (facts.signs, 45.0)
    [reading] = here.met("clock_skew", facts).values()
    assert (reading.subject, reading.value) == ("machines", 45)


def test_entities_that_may_not_be_read_are_known(here: Installation) -> None:
    assert here.facts().unread_entities == set()
    FAULTS["missing_permission"].make(here)
    FAULTS["held_run"].make(here)
    assert here.facts().unread_entities == {"invoice", "product"}


def test_the_disk_and_the_memory_are_this_machines(here: Installation) -> None:
    here.machine.clear()
    total, free = here.facts().disk_bytes
    assert 0 < free <= total
    assert 0 < here.facts().memory_share <= 1
