"""A comparison beside an organisation that never rests: what is on its way is not called different."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tds_core.comparison import comparisons
from tds_lab.demo import phases
from tds_lab.testbed import Environment, free_port, running_environment, settings_of_demo
from tds_lab.zoho_stand_in import StandInSpec, rules
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.acceptance.demo_process import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.long]

SIZES = {
    "products": 300, "customers": 60, "vendors": 8, "price-lists": 2, "prices": 20, "users": 3, "locations": 2,
    "orders": 60, "invoices": 60, "payments": 20, "bills": 40, "credit-notes": 20, "adjustments": 10,
}  # fmt: skip
EDITS_PER_SECOND, SECONDS = 50.0, 120.0
#: Longer than a webhook and its work take on a busy machine.
SETTLE_SECONDS = 5.0

#: Of the others no webhook tells, so that they do differ until the next pass.
ANNOUNCED = [name for name, entity in ENTITIES.items() if entity.stream.rule_module]

_CONFIRMED = text("select * from tds_comparison_differences where state = 'confirmed'")
_ENDED = text("select agreement, state from tds_comparisons where id = :id and state <> 'running'")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """The whole of TDS, and an organisation that is mirrored."""
    home = Path(tempfile.mkdtemp(prefix="tds-comparison-"))
    home.chmod(0o755)
    for name, value in (("TDS_HOME", home), ("TDS_PORT", free_port()), ("TDS_FLOWER_PORT", free_port())):
        monkeypatch.setenv(name, str(value))
    spec = StandInSpec(port=free_port(), counts=SIZES, seed=7)
    settings = settings_of_demo(spec, workers=None).replace("demo", comparison_settle_seconds=SETTLE_SECONDS)
    with running_environment(settings, spec, on_step=lambda *_: None) as stage:
        assert phases.load(stage, lambda *_: None, within_seconds=60)
        stage.stand_in.set_rules(list(rules(stage.stack.urls["webhooks"], settings.zoho_webhook_secret)))
        yield stage
    shutil.rmtree(home, ignore_errors=True)


def compared(engine: Engine, within_seconds: float) -> str:
    """The agreement of a comparison by the running workers."""
    with session_scope(engine) as session:
        comparison_id = comparisons.request_comparison(session, requested_by="test", sample_size=5, entities=ANNOUNCED)

    def ended() -> str | None:
        with engine.connect() as connection:
            return connection.execute(_ENDED, {"id": comparison_id}).scalar()

    assert eventually(lambda: ended() is not None, seconds=within_seconds)
    return str(ended())


def test_fifty_edits_a_second_are_never_called_different(stage: Environment) -> None:
    stage.stand_in.start_edits(rate=EDITS_PER_SECOND, seed=7)
    until, agreements = time.monotonic() + SECONDS, []
    while time.monotonic() < until:
        agreements.append(compared(stage.engine, 180))
    stage.stand_in.stop_edits()
    stage.stand_in.flush(20)
    with stage.engine.connect() as connection:
        confirmed = connection.execute(_CONFIRMED).mappings().all()
    assert [dict(row) for row in confirmed] == []
    assert set(agreements) <= {"equal", "unproven"}
    phases.wait_until_quiet(stage)
    assert compared(stage.engine, 180) == "equal"
