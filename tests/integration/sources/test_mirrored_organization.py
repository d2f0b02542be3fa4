"""A database mirrors one organisation: pointed at another, TDS reads, writes and deletes nothing, and says so."""

from typing import Any

import pytest
from typer.testing import CliRunner

from tds_api.cli.app import app
from tds_api.cli.doctor_checks.zoho import settings_for_zoho
from tds_api.inbox.group_commit import IntakeUnavailableError
from tds_api.process_context import make_context
from tds_core.config.settings import load_settings
from tds_core.sources import mirrored_organization
from tds_core.sources.mirrored_organization import OtherOrganizationError
from tds_core.sources.zoho.factory import open_zoho
from tds_local.stack import _check_organization
from tds_models.db import session_scope
from tds_tasks import context
from tests.support.standin import StandIn
from tests.support.world import World, delivery, forget_context, product
from zoho_sandbox.settings import Settings

MINE, OTHER = Settings().organization_id, "111222333"


def mirrored(world: World) -> str | None:
    with session_scope(world.engine) as session:
        return mirrored_organization.mirrored(session, "zoho")


@pytest.fixture
def elsewhere(synced: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """One organisation was read; then the settings came to name another."""
    synced.run("product", "full")
    monkeypatch.setenv("ZOHO_ORGANIZATION_ID", OTHER)
    forget_context()
    return synced


def everything(world: World) -> list[dict[str, Any]]:
    return world.rows("select source_id, xmin::text as x from erp.product order by 1")


def test_the_first_good_answer_is_remembered(synced: World, standin: StandIn) -> None:
    assert mirrored(synced) is None
    synced.run("product", "full")
    assert mirrored(synced) == MINE


def test_a_wrong_id_that_was_never_answered_is_not(
    synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_ORGANIZATION_ID", OTHER)
    forget_context()
    run_id = synced.request_run("product", "full")
    synced.advance(run_id)
    assert mirrored(synced) is None
    assert synced.run_row(run_id)["state"] != "completed"


def test_workers_leave_another_organisation_s_mirror_alone(elsewhere: World, standin: StandIn) -> None:
    before = everything(elsewhere)
    asked = len(standin.calls)
    elsewhere.deliver(delivery("product", product("460000000000001")))
    elsewhere.drain("product")
    run_id = elsewhere.request_run("product", "full")
    elsewhere.advance(run_id)
    assert (everything(elsewhere), len(standin.calls)) == (before, asked)
    assert elsewhere.run_row(run_id)["state"] == "queued"
    assert elsewhere.verdicts() == [None]


def test_every_start_and_request_names_the_way_out(elsewhere: World) -> None:
    settings = load_settings()
    for ask in (
        lambda: _check_organization(settings),
        lambda: open_zoho(settings, context.scope, context.breakers()),
    ):
        with pytest.raises(OtherOrganizationError, match="tds zoho adopt") as caught:
            ask()
        assert f"ZOHO_ORGANIZATION_ID={MINE}" in str(caught.value)
    found = settings_for_zoho(settings)
    assert found.state.value == "critical"
    assert "another organisation" in found.says


def test_an_operator_can_adopt_it(elsewhere: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found = CliRunner().invoke(app, ["zoho", "adopt", "--yes"])
    assert (found.exit_code, f"not of {MINE}" in found.output) == (0, True)
    assert mirrored(elsewhere) == OTHER
    _check_organization(load_settings())
    assert elsewhere.value("select count(*) from tds_operator_actions where operation = 'cli.zoho.adopt'") == 1


def test_going_back_goes_on_where_it_stopped(elsewhere: World, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere.deliver(delivery("product", product("460000000000001")))
    elsewhere.drain("product")
    monkeypatch.setenv("ZOHO_ORGANIZATION_ID", MINE)
    forget_context()
    elsewhere.drain("product")
    assert elsewhere.verdicts() == ["applied"]


def test_webhooks_are_put_off_while_the_mirror_is_another_s(elsewhere: World) -> None:
    context = make_context(load_settings(), nudge=lambda _: None)
    try:
        with pytest.raises(IntakeUnavailableError, match="tds zoho adopt"):
            context.group_commit.submit(delivery("product", product("1")))
        assert elsewhere.verdicts() == []
    finally:
        context.close()
