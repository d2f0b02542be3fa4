"""`tds validate`: which records break a rule, the worst first, what to do next, and an exit code."""

import pytest

from tds_models.entities import ENTITIES
from tests.support.command_line import CommandLine
from tests.support.mirror_rows import put, put_clean_mirror
from tests.support.world import World


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    put_clean_mirror(world)
    return CommandLine(monkeypatch, capsys)


def test_a_clean_mirror_ends_with_nought(command: CommandLine) -> None:
    result = command("validate")
    assert result.exit_code == 0
    assert all(entity in result.out for entity in ENTITIES)
    assert "tds validate integrity" in result.out
    assert "issue" not in result.out


def test_warnings_alone_are_no_failure(command: CommandLine, world: World) -> None:
    put(world, "bill", source_id="x", vendor_id="gone")
    result = command("validate", "bills")
    assert result.exit_code == 0
    assert "tds sync vendor --mode targeted --id gone" in result.out


def test_an_error_ends_with_one_and_names_the_next_step(command: CommandLine, world: World) -> None:
    put(world, "bill", source_id="x", vendor_id="gone")
    put(world, "bill", source_id="y", lines={})
    result = command("validate", "bill")
    assert result.exit_code == 1
    assert result.out.index("sub_total") < result.out.index("vendor_id")  # the worst first
    assert "tds sync bill --mode targeted --id y --force" in result.out
    assert "66.67 %" in result.out
    assert command("validate").exit_code == 1


def test_programs_get_the_report_of_the_api(command: CommandLine, world: World) -> None:
    for number in range(3):
        put(world, "customer", source_id=f"x{number}", name=None)
    result = command("validate", "customers", "--limit", "2", "--json")
    assert result.exit_code == 1
    assert list(result.json) == ["timestamp", "entity_type", "statistics", "issues"]
    assert [issue["entity_id"] for issue in result.json["issues"]] == ["x0", "x1"]
    assert result.json["statistics"]["invalid_records"] == 3
    every = command("validate", "--json")
    assert [each["entity_type"] for each in every.json] == list(ENTITIES)


@pytest.mark.parametrize("subject", ["integrity", "orphans"])
def test_reports_about_everything_are_commands_too(command: CommandLine, world: World, subject: str) -> None:
    put(world, "product", source_id="x", sku="S-x", category_id="gone", stock_on_hand=-1)
    result = command("validate", subject, "--json", "--limit", "1000")
    assert result.json["entity_type"] == subject
    assert "x" in {issue["entity_id"] for issue in result.json["issues"]}


def test_a_severity_that_was_set_counts(command: CommandLine, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.execute("update erp.stock_level set stock_on_hand = -1")
    assert command("validate", "stock_level").exit_code == 0
    monkeypatch.setenv("TDS_NEGATIVE_STOCK", "error")
    assert command("validate", "stock_level").exit_code == 1
    monkeypatch.setenv("TDS_NEGATIVE_STOCK", "maybe")
    result = command("validate", "stock_level")
    assert (result.exit_code, "TDS_NEGATIVE_STOCK" in result.errors) == (2, True)
    monkeypatch.delenv("TDS_NEGATIVE_STOCK")


def test_an_unknown_name_is_an_error_that_says_which_there_are(command: CommandLine) -> None:
    result = command("validate", "purchase_orders")
    assert result.exit_code == 1
    assert "sales_order" in result.errors
