"""No object keeps the value of a setting that changes while TDS runs: it would go on with the one it was made with."""

import ast
from collections.abc import Iterator
from dataclasses import fields

from tds_core.config.settings import SETTABLE, Settings
from tests.house.code import Module, modules

SETTABLE_FIELDS = {
    field.name for field in fields(Settings) if field.metadata and field.metadata["declaration"].variable in SETTABLE
}
#: Made for one use, of the values in force at that moment.
SHORT_LIVED = {"ChangeLimits", "HttpSender", "Lifetime", "Limits", "Moment", "Thresholds"}


def is_settable(node: ast.AST) -> bool:
    """Whether an expression is the value of a settable setting, not a function that reads it later."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in SETTABLE_FIELDS
        and any(word in ast.unparse(node.value) for word in ("settings", "chosen"))
    )


def read_now(node: ast.AST) -> Iterator[ast.AST]:
    """The settable settings an expression reads when it is evaluated: those in a function are read later."""
    if is_settable(node):
        yield node
    elif not isinstance(node, ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from read_now(child)


def kept_in(module: Module) -> set[str]:
    """Where a module keeps one: at its top, in an attribute of `self`, or in an object it makes."""
    kept: list[tuple[ast.AST, list[ast.AST]]] = [
        (each, [each.value]) for each in module.tree.body if isinstance(each, ast.Assign | ast.AnnAssign) and each.value
    ]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assign) and any(ast.unparse(each).startswith("self.") for each in node.targets):
            kept.append((node, [node.value]))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name[:1].isupper() and name not in SHORT_LIVED:
                kept.append((node, [*node.args, *(each.value for each in node.keywords)]))
    return {ast.unparse(place) for place, values in kept for value in values if any(read_now(value))}


def test_no_object_keeps_a_setting_that_changes() -> None:
    found = {module.name: kept_in(module) for module in modules("tds_core", "tds_tasks", "tds_api")}
    assert {name: places for name, places in found.items() if places} == {}


def test_the_rule_sees_what_it_forbids() -> None:
    forbidden = (
        "LIMIT = settings.guard_percent",
        "self.x = ceil(context.settings.max_attempts / 2)",
        "Dispatcher(claim_size=chosen.claim_size)",
    )
    fine = (
        "Dispatcher(lambda: settings.claim_size)",
        "limits = ChangeLimits(settings().guard_percent)",
        "self.workers = settings.workers",
        "function(settings.claim_size)",
    )
    assert [kept_in(Module("x.py", each)) for each in forbidden] == [{each} for each in forbidden]
    assert [kept_in(Module("x.py", f"def f():\n    {each}")) for each in fine] == [set()] * len(fine)
