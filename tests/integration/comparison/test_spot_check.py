"""The spot check of a demo goes on when its token has ended, as every token does after an hour."""

from types import SimpleNamespace

from sqlalchemy import Engine

from tds_core.config.settings import load_settings
from tds_lab.comparison.spot_check import Sampler
from tds_lab.zoho_stand_in import StandIn as Controls
from tests.support.standin import StandIn
from tests.support.world import World


def test_a_token_that_ended_is_replaced(synced: World, standin: StandIn, engine: Engine) -> None:
    synced.run("product", "full")
    controls = Controls(standin.url)
    environment = SimpleNamespace(stand_in=controls, stack=SimpleNamespace(settings=load_settings(standin.settings)))
    sampler = Sampler(environment)
    live = controls.state()["entities"]
    with engine.connect() as connection:
        before = sampler.take(connection, live)
        controls.revoke_tokens()
        after = sampler.take(connection, live)
    assert before.record_count > 0
    assert (after.record_count, after.differing_count) == (before.record_count, 0)
