"""What is wanted of Zoho's rules stays within its caps, whatever others have taken."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tds_core.sources.zoho.webhook_setup.desired import (
    CREATED,
    DELETED,
    RULES_PER_MODULE,
    RULES_PER_ORGANIZATION,
    UPDATED,
    HookConventions,
    desired_hooks,
)
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

TERMS = HookConventions("TDS", "https://erp.example/", {CREATED: "add", UPDATED: "edit", DELETED: "delete"})
PRODUCT = ENTITIES["product"]


def entities(count: int) -> list[Entity]:
    """So many entities, each with a rule module of its own."""
    return [replace(PRODUCT, name=f"e{n}", stream=replace(PRODUCT.stream, rule_module=f"m{n}")) for n in range(count)]


@given(st.integers(1, 90), st.dictionaries(st.integers(0, 95), st.integers(0, 12)))
def test_our_rules_and_others_fit_and_every_event_is_heard_once_or_lacking(count: int, taken: dict[int, int]) -> None:
    others = Counter({f"m{number}": many for number, many in taken.items()})
    hooks, lacking = desired_hooks(entities(count), TERMS, others=others)
    assert len(hooks) + sum(others.values()) <= max(RULES_PER_ORGANIZATION, sum(others.values()))
    per_module = Counter(hook.module for hook in hooks)
    assert all(
        number + others[module] <= max(RULES_PER_MODULE, others[module]) for module, number in per_module.items()
    )
    told = Counter([(hook.entity, event) for hook in hooks for event in hook.events])
    told.update((each.entity, each.event) for each in lacking)
    assert set(told.values()) == {1}
    assert len(told) == 3 * count


def test_an_entity_without_a_rule_module_is_polled_and_wants_no_rule() -> None:
    silent = replace(PRODUCT, stream=replace(PRODUCT.stream, rule_module=None))
    assert desired_hooks([silent], TERMS, others={}) == ([], [])


def test_addresses_and_names_are_ours() -> None:
    hooks, _ = desired_hooks([PRODUCT], TERMS, others={})
    assert [hook.url for hook in hooks] == [
        f"https://erp.example/api/tds/zoho/webhooks/product/{event}" for event in (CREATED, UPDATED, DELETED)
    ]
    assert all(TERMS.is_ours(hook.name) for hook in hooks)
    for name in ("TDS", "TDS backup", "TDS product renamed", "TDS-staging product created", "My TDS product created"):
        assert not TERMS.is_ours(name)


def test_no_name_is_longer_than_zoho_takes() -> None:
    longest = HookConventions("X" * 20, "https://erp.example", TERMS.rule_types)
    assert all(len(longest.name(entity, UPDATED)) <= 50 for entity in ENTITIES)
