"""Repair takes the source's values, by plan, through the ordinary queue; the next comparison proves it."""

from typing import Any

import pytest

from tds_core.comparison import queries, recommendations, repair
from tds_core.comparison.recommendations import Recommendation
from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.comparing import compare, differences
from tests.support.planted_faults import FAULTS, Ground
from tests.support.world import World


def planned(world: World, comparison: dict[str, Any], policies: str = "", **more: Any) -> repair.RepairPlan:
    settings = load_settings({"TDS_REPAIR_POLICIES": policies})
    with session_scope(world.engine) as session:
        return repair.plan(session, settings, comparison["id"], **more)


def repaired(world: World, comparison: dict[str, Any]) -> repair.RepairPlan:
    settings = load_settings({})
    with session_scope(world.engine) as session:
        plan = repair.plan(session, settings, comparison["id"])
        repair.request(session, plan, requested_by="test")
    for name in [*ENTITIES, *ENTITIES]:  # what one entity's readings make owed of another comes with the second round
        world.drain(name, make_due=True)
    return plan


def test_what_differs_is_equal_afterwards_whatever_differed(ground: Ground) -> None:
    faults = ground.plant_all()
    plan = repaired(ground.world, compare(ground.world))
    assert plan.record_count == len(faults)
    assert len(plan.run_ids) == len(plan.parts) == len({entity for entity, _, _ in faults})
    ground.let_settle()
    again = compare(ground.world, follow_seconds=3600)
    assert differences(ground.world, again) == []
    assert again["agreement"] == "equal"
    states = ground.world.rows("select distinct state from tds_comparison_differences")
    assert states == [{"state": "repaired"}]


def test_a_price_changed_by_hand_is_found_explained_repaired_and_stated(ground: Ground) -> None:
    world = ground.world
    compare(world)
    [(_, record_id, _)] = list(FAULTS["price_changed_here"](ground))
    with session_scope(world.engine) as session:
        assert [each.command for each in recommendations.recommendations(session, load_settings({}))] == []
    comparison = compare(world)
    with session_scope(world.engine) as session:
        [advice] = recommendations.recommendations(session, load_settings({}))
    assert (advice.command, advice.priority, advice.api_call_count) == ("tds compare product --repair", 2, 1)
    plan = repaired(world, comparison)
    assert (plan.record_count, plan.api_call_count) == (1, 1)
    again = compare(world, follow_seconds=3600)
    assert again["agreement"] == "equal"
    assert world.audit("product", record_id)[-1]["changes"].keys() == {"price"}
    with session_scope(world.engine) as session:
        found = queries.comparison(session)
    assert (found["difference_count"], found["statement"]) == (0, 3)


def test_policies_leave_records_alone(ground: Ground) -> None:
    ids = [ground.take("items") for _ in range(3)]
    for column, record_id in zip(("brand", "unit", "upc"), ids, strict=True):
        ground.sql(f"update erp.product set {column} = 'by hand' where source_id = :id", id=record_id)
    comparison = compare(ground.world, "product")
    plan = planned(ground.world, comparison, "product.brand=keep, product.unit=ask")
    [part] = plan.parts
    assert (part.source_ids, part.kept_count, part.asked_count) == ([ids[2]], 1, 1)
    [part] = planned(ground.world, comparison, "product.brand=keep, product.unit=ask", includes_asked=True).parts
    assert (part.source_ids, part.kept_count, part.asked_count) == (ids[1:], 1, 0)
    [part] = planned(ground.world, comparison, source_ids=[ids[0]]).parts
    assert part.source_ids == [ids[0]]
    assert planned(ground.world, comparison, entity="invoice").parts == []


def many_differences(world: World, count: int) -> None:
    """A comparison with so many products whose unit differs, one in ten of them in its brand, too."""
    world.execute("insert into tds_comparisons (source, requested_by, seed, correlation_id, state)"
                  " values ('zoho', 'test', 1, 'c', 'completed')")  # fmt: skip
    world.execute(f"""
        insert into tds_comparison_differences (comparison_id, entity, source_id, kind, state, fields)
        select 1, 'product', (10000000 + n)::text, 'different', 'confirmed', case when n % 10 = 0
            then '{{"brand": ["a", "b"], "unit": ["pcs", "kg"]}}'::jsonb else '{{"unit": ["pcs", "kg"]}}'::jsonb end
        from generate_series(1, {count}) as n""")


def test_a_plan_stays_small_however_many_records_differ_and_the_repair_reads_them_all(world: World) -> None:
    many_differences(world, 5000)
    plan = planned(world, {"id": 1})
    [part] = plan.parts
    assert (part.record_count, part.kept_count, part.api_call_count, len(part.source_ids)) == (5000, 0, 50, 100)
    assert part.source_ids == [str(10_000_000 + number) for number in range(1, 101)]
    kept = planned(world, {"id": 1}, "product.brand=keep")
    assert (kept.record_count, kept.parts[0].kept_count, kept.api_call_count) == (4500, 500, 45)
    assert "10000010" not in kept.parts[0].source_ids
    with session_scope(world.engine) as session:
        repair.request(session, kept, requested_by="test")
    assert world.value("select count(*) from tds_sync_queue") == 4500
    assert world.value("select jsonb_array_length(asked -> 'ids') from tds_sync_runs") == 4500


@pytest.mark.parametrize("wrong", ["product.brand", "product.nothing=keep", "nothing.name=ask", "product.name=drop"])
def test_a_policy_that_is_not_understood_says_how_to_write_one(world: World, wrong: str) -> None:
    with pytest.raises(ConfigError, match="Write product"):
        planned(world, {"id": 1}, wrong)


def advice_on(world: World) -> Recommendation:
    """What is recommended about products."""
    with session_scope(world.engine) as session:
        [found] = [
            each for each in recommendations.recommendations(session, load_settings({})) if each.entity == "product"
        ]
    return found


def obey(world: World, advice: Recommendation, comparison: dict[str, Any]) -> None:
    """Do what the recommended command does."""
    if advice.mode == "full":
        world.run("product", "full")
        world.drain("product", make_due=True)
    else:
        repaired(world, comparison)


@pytest.mark.parametrize(
    ("plant", "mode"),
    [
        ("update erp.product set price = price + 1 where source_id = any(:ids)", "targeted"),
        ("delete from erp.product where source_id = any(:ids)", "full"),
        ("update erp.product set deleted_at = now() where source_id = any(:ids)", "full"),
        ("update erp.product set source_id = '9' || source_id where source_id = any(:ids)", "full"),
    ],
)
def test_what_is_recommended_for_many_differences_mends_them(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, plant: str, mode: str
) -> None:
    monkeypatch.setattr(recommendations, "MANY_MISSING", 2)
    ground.sql(plant, ids=[ground.take("items") for _ in range(3)])
    comparison = compare(ground.world, "product")
    assert comparison["agreement"] == "differs"
    advice = advice_on(ground.world)
    assert (advice.priority, advice.mode) == (2, mode)
    obey(ground.world, advice, comparison)
    assert compare(ground.world, "product")["agreement"] == "equal"


@pytest.mark.parametrize(
    ("different", "missing", "command", "calls"),
    [
        (300, 0, "tds compare product --repair", 3), (300, 300, "tds compare product --repair", 6),
        (0, 300, "tds sync product --mode full --wait", 6), (0, 200, "tds compare product --repair", 2),
    ],
)  # fmt: skip
def test_a_full_pass_is_recommended_only_for_many_records_that_are_missing(
    world: World, different: int, missing: int, command: str, calls: int
) -> None:
    world.execute("insert into tds_comparisons (source, requested_by, seed, correlation_id, state)"
                  " values ('zoho', 'test', 1, 'c', 'completed')")  # fmt: skip
    world.execute(
        "insert into tds_comparison_reports (comparison_id, entity, run_id, state, agreement, here_count, there_count,"
        " different_count, missing_here_count, match_percent, score, ended_at) values (1, 'product', 1, 'completed',"
        f" 'differs', 1000, 1000, {different}, {missing}, 70, 85, now())"
    )
    advice = advice_on(world)
    assert (advice.command, advice.api_call_count) == (command, calls)
    with session_scope(world.engine) as session:
        found = recommendations.recommendations(session, load_settings({}))
    assert {each.entity for each in found[1:]} == set(ENTITIES) - {"product"}
