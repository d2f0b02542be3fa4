"""Every rule of the catalogue: quiet where nothing is wrong, on beyond its threshold, and off when it is over."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tds_core.alerts.rule import Rule
from tds_core.alerts.rules import RULES, rule_of
from tds_core.alerts.rules.phrases import counted, named
from tds_core.errors import NotFoundError
from tds_models.alerts import AlertSeverity
from tests.support.alert_faults import FAULTS
from tests.support.comparing import load_all
from tests.support.installation import Installation, installation
from tests.support.world import World

MEASURED = [rule for rule in RULES if rule.measure]
RANK = {severity: rank for rank, severity in enumerate(AlertSeverity)}


@pytest.fixture
def here(engine: Engine, tmp_path: Path, redis_url: str) -> Installation:
    """A migrated database of which nothing has run yet."""
    return installation(engine, str(tmp_path), redis_url)


def test_a_fresh_installation_is_quiet(here: Installation) -> None:
    assert here.all_met() == {}
    here.start()
    assert here.all_met() == {}


def test_a_synced_installation_is_quiet(synced: World, tmp_path: Path, redis_url: str) -> None:
    load_all(synced)
    here = installation(synced.engine, str(tmp_path), redis_url)
    here.start()
    assert here.all_met() == {}


@pytest.mark.parametrize("rule", MEASURED, ids=lambda rule: rule.name)
def test_a_rule_is_on_beyond_its_threshold_and_off_when_it_is_over(rule: Rule, here: Installation) -> None:
    fault = FAULTS[rule.name]
    here.start()
    fault.make(here)
    met = here.met(rule.name)
    assert list(met) == [fault.subject]
    says = met[fault.subject].says
    assert says[0].isupper() or says[0].isdigit() or says.startswith("zoho."), says
    assert says.rstrip().endswith((".", "tds dead-letter")), says
    assert len(says) < 300
    fault.end(here)
    assert here.met(rule.name) == {}


@pytest.mark.parametrize("rule", MEASURED, ids=lambda rule: rule.name)
def test_a_rule_is_off_below_its_threshold(rule: Rule, here: Installation) -> None:
    here.start()
    FAULTS[rule.name].below(here)
    assert here.met(rule.name) == {}


def test_a_cause_is_as_severe_as_what_it_mutes_and_is_not_caused_by_it() -> None:
    for rule in RULES:
        assert [each for each in rule.muted_by if RANK[rule_of(each).severity] < RANK[rule.severity]] == [], rule.name
        assert rule.name not in causes(rule), rule.name


def causes(rule: Rule) -> set[str]:
    """The rules that mute a rule, and those that mute these."""
    return {*rule.muted_by}.union(*(causes(rule_of(each)) for each in rule.muted_by))


def test_names_are_unique_and_an_unknown_one_says_where_they_are() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES) > 45
    with pytest.raises(NotFoundError, match="tds alerts rules"):
        rule_of("nothing")


def test_every_rule_says_all_it_has_to_in_sentences() -> None:
    for rule in RULES:
        assert rule.cause.endswith("."), rule.name
        assert rule.automatic.endswith("."), rule.name
        assert rule.command.startswith("tds "), rule.name
        assert 0 <= rule.for_seconds <= 1800, rule.name


def test_counts_and_names_are_said_as_people_say_them() -> None:
    assert (counted(1, "record"), counted(1200, "record"), counted(2, "entity", "entities")) == (
        "1 record", "1,200 records", "2 entities",
    )  # fmt: skip
    assert (named(["a"]), named(["a", "b"]), named(["a", "b", "c", "d"])) == ("a", "a and b", "a, b, c and 1 more")
