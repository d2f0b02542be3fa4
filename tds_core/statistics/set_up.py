"""The set-up of an installation: its steps from the connection to the first alert channel, each with its check."""

from enum import StrEnum
from typing import TypedDict

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.config.settings import Settings
from tds_core.sources.missing_permissions import missing_permissions
from tds_core.sources.zoho.organization_connection import AccessStatus, access_report
from tds_models.entities import ENTITIES


class StepName(StrEnum):
    """The steps, in their order."""

    CONNECTION = "connection"
    FIRST_SYNC = "first_sync"
    WEBHOOKS = "webhooks"
    FIRST_PROOF = "first_proof"
    ALERT_CHANNEL = "alert_channel"


class StepState(StrEnum):
    """How far a step is."""

    DONE = "done"
    UNDER_WAY = "under_way"
    TO_DO = "to_do"


class SetUpStep(TypedDict):
    """One step. `says`: what its check saw."""

    name: StepName
    state: StepState
    says: str


class SetUp(TypedDict):
    """All steps. `next`: the first that is not done; None when all are."""

    steps: list[SetUpStep]
    next: StepName | None


_FACTS = text("""
select exists(select 1 from tds_inbox_events) as has_events,
       exists(select 1 from tds_comparisons where state = 'running') as is_comparing,
       exists(select 1 from tds_comparisons where state = 'completed') as is_compared,
       exists(select 1 from tds_alert_channels where deleted_at is null and is_enabled) as has_channel,
       exists(select 1 from tds_alert_channels c where deleted_at is null and is_enabled and (sent_at is not null
              or exists(select 1 from tds_alert_deliveries d where d.channel_id = c.id and d.state = 'sent')))
           as has_sent
""")
# One look-up by index for each entity; the first pass is among its oldest runs.
_PASSES = text("""
select name,
       exists(select 1 from tds_sync_runs r
              where r.entity = name and r.mode = 'full' and r.state = 'completed') as read,
       exists(select 1 from tds_sync_runs r where r.entity = name and r.mode = 'full'
              and r.state in ('queued', 'running', 'held')) as reading
from unnest(cast(:entities as text[])) as name
""")


def set_up(session: Session, settings: Settings) -> SetUp:
    """How far the installation is set up."""
    facts = session.execute(_FACTS).mappings().one()
    steps = [
        _connection(session, settings), _first_sync(session), _webhooks(settings, facts), _first_proof(facts),
        _alert_channel(facts),
    ]  # fmt: skip
    return {"steps": steps, "next": next((each["name"] for each in steps if each["state"] != StepState.DONE), None)}


def _connection(session: Session, settings: Settings) -> SetUpStep:
    report = access_report(session, settings)
    access = report["access"]
    states = {AccessStatus.CONNECTED: StepState.DONE, AccessStatus.UNTRIED: StepState.UNDER_WAY}
    says = {
        AccessStatus.CONNECTED: "Zoho answers to the stored connection.",
        AccessStatus.UNTRIED: "A connection is stored; the first call will show whether it holds.",
    }
    state = states.get(access, StepState.TO_DO)
    return {"name": StepName.CONNECTION, "state": state, "says": says.get(access, str(report.get("reason", access)))}


def _first_sync(session: Session) -> SetUpStep:
    refused = {name for row in missing_permissions(session) if not row["source_id"] for name in row["entities"]}
    wanted = [name for name in ENTITIES if name not in refused]
    rows = session.execute(_PASSES, {"entities": wanted}).mappings().all()
    read_count = sum(row["read"] for row in rows)
    says = f"{read_count} of {len(wanted)} entities were read in full"
    says += f"; {len(refused)} may not be read: see the connection." if refused else "."
    if read_count == len(wanted):
        state = StepState.DONE
    else:
        state = StepState.UNDER_WAY if any(row["reading"] for row in rows) else StepState.TO_DO
    return {"name": StepName.FIRST_SYNC, "state": state, "says": says}


def _webhooks(settings: Settings, facts: RowMapping) -> SetUpStep:
    if not settings.zoho_webhook_secret:
        state, says = StepState.TO_DO, "ZOHO_WEBHOOK_SECRET is not set, so no webhook is taken."
    elif facts["has_events"]:
        state, says = StepState.DONE, "The secret is set, and webhooks arrive."
    elif not settings.public_url:
        state, says = StepState.TO_DO, "TDS_PUBLIC_URL is not set: Zoho has to know where to send webhooks."
    else:
        state, says = StepState.UNDER_WAY, "The secret is set; no webhook has arrived yet."
    return {"name": StepName.WEBHOOKS, "state": state, "says": says}


def _first_proof(facts: RowMapping) -> SetUpStep:
    if facts["is_compared"]:
        state, says = StepState.DONE, "The mirror was compared with Zoho."
    elif facts["is_comparing"]:
        state, says = StepState.UNDER_WAY, "The first comparison is under way."
    else:
        state, says = StepState.TO_DO, "The mirror was not compared with Zoho yet."
    return {"name": StepName.FIRST_PROOF, "state": state, "says": says}


def _alert_channel(facts: RowMapping) -> SetUpStep:
    if facts["has_sent"]:
        state, says = StepState.DONE, "A channel took a message."
    elif facts["has_channel"]:
        state, says = StepState.UNDER_WAY, "There is a channel, but it took no message yet: send a test."
    else:
        state, says = StepState.TO_DO, "Alerts are sent nowhere yet."
    return {"name": StepName.ALERT_CHANNEL, "state": state, "says": says}
