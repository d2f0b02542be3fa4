"""A reveal lasts as long as it says, for one caller and one record, and only if the action log holds it."""

from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tds_core.auth.reveals import CONCEAL, REVEAL, REVEALED_FOR, revealed_until
from tds_core.queue.items import database_clock
from tests.support.planted_rows import action, plant

OF_ANN = {"caller": "ann", "entity": "customer", "source_id": "1"}


def test_it_lasts_fifteen_minutes_for_one_caller_and_one_record(session: Session, engine: Engine) -> None:
    now = database_clock(session)
    named = {"entity": "customer", "source_ids": ["1"]}
    plant(engine, "tds_operator_actions", action(now - REVEALED_FOR - timedelta(seconds=1), REVEAL, **named))
    assert revealed_until(session, **OF_ANN) is None, "that was too long ago"
    plant(engine, "tds_operator_actions", action(now, REVEAL, **named, outcome="refused"))
    assert revealed_until(session, **OF_ANN) is None, "one that was refused reveals nothing"
    plant(engine, "tds_operator_actions", action(now, REVEAL, **named))
    assert revealed_until(session, **OF_ANN) == now + timedelta(minutes=15)
    assert revealed_until(session, **{**OF_ANN, "caller": "bob"}) is None
    assert revealed_until(session, **{**OF_ANN, "source_id": "2"}) is None
    assert revealed_until(session, **{**OF_ANN, "entity": "vendor"}) is None
    plant(engine, "tds_operator_actions", action(now, CONCEAL, **named))
    assert revealed_until(session, **OF_ANN) is None, "it was masked again"
