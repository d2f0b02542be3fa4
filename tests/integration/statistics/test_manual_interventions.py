"""Every operation that changes something is known to repair data or not; a new one has to be told which."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tds_core.statistics.manual_interventions import OTHER, REPAIRS, interventions
from tests.house.code import ROOT
from tests.support.planted_rows import action, plant
from tests.support.webhook_sender import Sender, sender_for

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
#: Webhooks come from Zoho, and are no action of a person.
NO_ACTIONS = {"webhooks.take", "webhooks.take_any"}
COMMANDS = re.compile(r'(?:acting|acting_on|did)\(\s*(?:self\.)?(?:backend\.)?engine, "([\w.]+)"|acting\("([\w.]+)"')


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


def test_every_changing_route_is_a_repair_or_not(sender: Sender) -> None:
    operations = {
        rule.endpoint.replace(" ", "_")
        for rule in sender.app.url_map.iter_rules()
        if CHANGING & (rule.methods or set()) and rule.endpoint not in NO_ACTIONS
    }
    assert operations - REPAIRS - OTHER == set(), "add them to tds_core/statistics/manual_interventions.py"
    known = {name for name in REPAIRS | OTHER if not name.startswith("cli.")}
    assert known - operations == set(), "there is no such route any more"


def commands(folder: Path) -> set[str]:
    found = (match for path in folder.rglob("*.py") for match in COMMANDS.findall(path.read_text()))
    assembled = re.findall(r'_record\("(\w+)"', (folder / "zoho_webhooks.py").read_text())
    return {f"cli.{one or other}" for one, other in found} | {f"cli.zoho.webhooks.{verb}" for verb in assembled}


def test_every_changing_command_is_a_repair_or_not() -> None:
    operations = commands(ROOT / "tds_api" / "cli")
    assert len(operations) > 40
    assert operations - REPAIRS - OTHER == set(), "add them to tds_core/statistics/manual_interventions.py"
    assert {name for name in REPAIRS | OTHER if name.startswith("cli.")} - operations == set()


def test_nothing_is_both() -> None:
    assert not REPAIRS & OTHER


def test_what_only_asked_what_would_be_is_no_intervention(session: Session, engine: Engine) -> None:
    now = datetime.now(UTC)
    compared, synced = "comparison.sync_differences", "syncs.sync"
    asked = ((compared, "{}"), (compared, '{"dry_run": true}'), (synced, '{"mode": "dry_run"}'))
    plant(engine, "tds_operator_actions", *(action(now, operation, detail=detail) for operation, detail in asked))
    assert interventions(session, since=now - timedelta(minutes=1))["action_count"] == 0
    done = ((compared, '{"dry_run": false}'), (compared, '{"dry_run": "off"}'), (synced, '{"mode": "full"}'))
    plant(engine, "tds_operator_actions", *(action(now, operation, detail=detail) for operation, detail in done))
    assert interventions(session, since=now - timedelta(minutes=1))["action_count"] == 3
