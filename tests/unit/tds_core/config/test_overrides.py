"""Overrides: a settable setting has its newest value in whichever copy of the settings, and nothing else changes."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest

from tds_core.config.overrides import Override, overrides
from tds_core.config.settings import DECLARATIONS, SETTABLE, Settings, load_settings
from tds_core.config.sources import Declaration, InvalidValueError, typed_value

CHANGED_AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
FIELD_OF = {
    field.metadata["declaration"].variable: field.name for field in fields(Settings) if field.metadata
}  # fmt: skip


def override(value: Any) -> Override:
    return Override(value=value, version=1, changed_at=CHANGED_AT, changed_by="somebody", reason=None)


def another_value(declaration: Declaration) -> Any:
    """A valid value of a setting that is not its default."""
    rule, default = declaration.rule, declaration.default
    if rule.choices:
        return next(choice for choice in rule.choices if choice != default)
    if isinstance(default, bool):
        return not default
    if declaration.variable == "TDS_TIME_ZONE":
        return "Asia/Baghdad"
    assert rule.high is not None, "a settable number has bounds"
    return type(default)(rule.high)


@pytest.mark.parametrize("variable", SETTABLE)
def test_every_settable_setting_reads_its_override_in_every_copy_and_its_own_value_again(variable: str) -> None:
    declaration, field = DECLARATIONS[variable], FIELD_OF[variable]
    early = load_settings({})
    copy = early.replace("command line", workers=7)
    value = typed_value(declaration, another_value(declaration))
    overrides.replace({variable: override(value)})
    for settings in (early, copy, load_settings({})):
        assert (getattr(settings, field), settings.value_of(declaration)) == (value, value)
        assert settings.source_of(variable) == "changed"
        assert settings.environment_value(declaration) == declaration.default
    assert {name: early.value_of(each) for name, each in DECLARATIONS.items() if name != variable} == {
        name: early.environment_value(each) for name, each in DECLARATIONS.items() if name != variable
    }
    overrides.replace({})
    assert getattr(early, field) == declaration.default


def test_a_child_process_is_given_the_environment_s_values_not_what_was_changed() -> None:
    settings = load_settings({"TDS_GUARD_PERCENT": "7"})
    overrides.replace({"TDS_GUARD_PERCENT": override(50), "TDS_GUARD_RECORDS": override(9)})
    assert settings.as_environ() == {"TDS_GUARD_PERCENT": "7"}
    copy = settings.replace("command line", workers=3)
    overrides.replace({})
    assert (copy.guard_percent, copy.workers) == (7, 3)


def test_what_is_not_declared_settable_has_no_override() -> None:
    overrides.replace({"TDS_WORKERS": override(50)})
    assert load_settings({}).workers == DECLARATIONS["TDS_WORKERS"].default


@pytest.mark.parametrize(("variable", "written", "value"), [
    ("TDS_GUARD_PERCENT", "12", 12), ("TDS_GUARD_PERCENT", 12, 12), ("TDS_SLOW_SECONDS", 2, 2.0),
    ("AUTO_HEALING_ENABLED", "no", False), ("AUTO_HEALING_ENABLED", False, False),
    ("TDS_MISSING_SKU", "warning", "warning"),
])  # fmt: skip
def test_a_value_is_read_from_json_and_from_a_command_line(variable: str, written: Any, value: Any) -> None:
    found = typed_value(SETTABLE[variable], written)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("variable", "written", "takes"), [
    ("TDS_GUARD_PERCENT", 101, "from 0 to 100 (percent)"), ("TDS_GUARD_PERCENT", -1, "from 0 to 100"),
    ("TDS_GUARD_PERCENT", 5.5, "integer"), ("TDS_GUARD_PERCENT", "many", "integer"),
    ("TDS_GUARD_PERCENT", "", "integer"),
    ("TDS_GUARD_PERCENT", True, "integer"), ("TDS_GUARD_PERCENT", [5], "integer"),
    ("TDS_GUARD_PERCENT", {"a": 1}, "integer"),
    ("TDS_GUARD_PERCENT", 10**400, "integer"), ("TDS_GUARD_PERCENT", "5\0", "integer"),
    ("TDS_SLOW_SECONDS", "nan", "from 0 to 3600"), ("TDS_SLOW_SECONDS", float("inf"), "from 0 to 3600"),
    ("AUTO_HEALING_ENABLED", "perhaps", "yes/no"), ("AUTO_HEALING_ENABLED", 3, "yes/no"),
    ("TDS_MISSING_SKU", "fatal", "one of error, warning"), ("TDS_AUDIT_DAYS", 29, "0, or from 30 to 36500 (days)"),
])  # fmt: skip
def test_a_value_out_of_bounds_is_refused_with_what_the_setting_takes(variable: str, written: Any, takes: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        typed_value(SETTABLE[variable], written)
    assert variable in str(caught.value)
    assert takes in str(caught.value)


def test_what_a_page_needs_of_a_settable_setting_comes_from_its_declaration() -> None:
    units = {variable: each.unit for variable, each in SETTABLE.items()}
    assert (units["TDS_GUARD_PERCENT"], units["TDS_SLOW_SECONDS"], units["TDS_EVENTS_DAYS"]) == (
        "percent", "seconds", "days",
    )  # fmt: skip
    assert units["TDS_REVIVE_PER_MINUTE"] == "per minute"
    assert units["TDS_GUARD_RECORDS"] == ""
    for variable, each in SETTABLE.items():
        is_bounded = each.rule.choices or each.rule.high is not None or variable == "TDS_TIME_ZONE"
        assert each.kind == "yes/no" or is_bounded, variable
        assert not each.secret, variable
