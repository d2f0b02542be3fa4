"""Findings are shown to people and programs, counted, and resolved by an operator from anywhere."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_models.db import session_scope
from tds_models.findings import Severity
from tests.support.command_line import CommandLine
from tests.support.webhook_sender import TOKEN, Sender, sender_for
from tests.support.world import World

PATH = "/api/tds/findings"


def keep(session: Session, subject: str, entity: str = "product") -> None:
    detail = {"news": "other kind", "part": "list", "kind": "object", "kinds_before": ["number"]}
    findings.report(
        session, kind="schema_drift", severity=Severity.WARNING, source="zoho", entity=entity, subject=subject,
        detail=detail,
    )  # fmt: skip


@pytest.fixture
def kept(engine: Engine) -> Engine:
    """Two findings, one of which was seen twice."""
    with session_scope(engine) as session:
        keep(session, "rate")
        keep(session, "total", entity="invoice")
    with session_scope(engine) as session:
        keep(session, "rate")
    return engine


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


@pytest.fixture
def tds(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def resolve(sender: Sender, finding_id: str):
    return sender.app.test_client().post(f"{PATH}/{finding_id}/resolve", headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.mark.usefixtures("kept")
def test_findings_are_listed_once_and_filtered(sender: Sender) -> None:
    found = sender.get(PATH).json["items"]
    assert [each["subject"] for each in found] == ["total", "rate"]
    assert found[1]["first_seen_at"] < found[1]["last_seen_at"]
    assert [each["subject"] for each in sender.get(f"{PATH}?entity=product").json["items"]] == ["rate"]
    assert sender.get(f"{PATH}?kind=other").json["items"] == []
    assert sender.get(f"{PATH}?open=false").json["items"] == []


@pytest.mark.usefixtures("kept")
def test_an_operator_resolves_one_and_it_may_be_found_anew(sender: Sender, engine: Engine) -> None:
    finding = sender.get(f"{PATH}?entity=product").json["items"][0]
    resolved = resolve(sender, finding["id"])
    assert (resolved.status_code, resolved.json["resolved_by"]) == (200, "token")
    assert [each["subject"] for each in sender.get(f"{PATH}?open=true").json["items"]] == ["total"]
    with session_scope(engine) as session:
        keep(session, "rate")
    assert len(sender.get(f"{PATH}?open=true").json["items"]) == 2
    assert resolve(sender, "999").status_code == resolve(sender, str(2**70)).status_code == 404


@pytest.mark.usefixtures("kept")
def test_programs_count_them(sender: Sender) -> None:
    assert 'tds_findings_open{kind="schema_drift",severity="warning"} 2.0' in sender.get("/metrics").text


@pytest.mark.usefixtures("kept")
def test_the_command_line_shows_warns_and_resolves(tds: CommandLine) -> None:
    shown = tds("findings")
    assert "other kind (object, was number)" in shown.out
    found = tds("findings", "--json", "--entity", "invoice").json
    health = {each["name"]: each for each in tds("health", "--json").json["components"]}["findings"]
    assert (health["state"], "product rate: other kind" in health["says"]) == ("warning", True)
    for each in tds("findings", "--json").json:
        assert tds("findings", "resolve", str(each["id"])).exit_code == 0
    assert len(found) == 1
    assert tds("findings", "--json").json == []
    assert len(tds("findings", "--all", "--json").json) == 2
    health = {each["name"]: each["state"] for each in tds("health", "--json").json["components"]}
    assert health["findings"] == "ok"
    assert tds("findings", "resolve", "999").exit_code == 1
