"""While the webhooks of an entity stay away it is polled every quarter of an hour, and no other entity is."""

from tests.support.webhook_history import WebhookHistory
from tests.support.worker_reports import deeds, heal
from tests.support.world import World


def silent_products(world: World) -> WebhookHistory:
    history = WebhookHistory(world.engine)
    history.begin()
    history.told("1", changed=300)
    history.change("2", changed=200, found=180)
    history.measure()
    history.report()
    return history


def test_healing_polls_an_entity_whose_webhooks_stay_away(world: World) -> None:
    silent_products(world)
    assert heal(world) == {"webhook_gaps": 1}
    run = world.one("select * from tds_sync_runs where mode = 'incremental'")
    assert (run["entity"], run["state"], run["requested_by"]) == ("product", "queued", "webhook coverage")
    [deed] = deeds(world, "webhook_gaps")
    assert (deed["entity"], deed["detail"]["run_id"]) == ("product", run["id"])


def test_it_does_so_four_times_an_hour(world: World) -> None:
    silent_products(world)
    heal(world)
    world.execute("update tds_sync_runs set state = 'completed', ended_at = now() where mode = 'incremental'")
    assert heal(world) == {}
    world.execute("update tds_sync_runs set requested_at = now() - interval '16 minutes' where mode = 'incremental'")
    assert heal(world) == {"webhook_gaps": 1}


def test_it_ends_when_webhooks_come_again(world: World) -> None:
    history = silent_products(world)
    history.told("3", changed=1)
    history.measure()
    history.report()
    assert heal(world) == {}
