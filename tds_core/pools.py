"""How much of each pool of connections is in use, told to Prometheus."""

from typing import Any, cast

from sqlalchemy import Engine, QueuePool, event

from tds_core import metrics


def watch_pool(engine: Engine, name: str) -> None:
    """Have `engine` say how many of its connections are in use, and how many it may open, under the pool's `name`."""
    in_use = metrics.pool_connections.labels(name)
    in_use.set(0)
    metrics.pool_limit.labels(name).set(cast(QueuePool, engine.pool).size())

    @event.listens_for(engine, "checkout")
    def taken(_connection: Any, _record: Any, _proxy: Any) -> None:
        in_use.set(cast(QueuePool, engine.pool).checkedout())

    @event.listens_for(engine, "checkin")
    def given_back(_connection: Any, _record: Any) -> None:
        in_use.set(max(0, cast(QueuePool, engine.pool).checkedout() - 1))  # it is on its way back
