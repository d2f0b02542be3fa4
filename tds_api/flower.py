"""Flower as `tds up` runs it: every address needs the login, and its queue lengths show the work that is due, too.

Queues of the broker hold nudges, which say nothing about how much work there is; that is counted in PostgreSQL.
"""

import asyncio
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

import structlog
from celery.__main__ import main
from flower.options import options
from flower.views import BaseHandler
from flower.views.monitor import Healthcheck, Metrics
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from tornado.web import authenticated

from tds_core.config.settings import load_settings
from tds_core.queue.queries import EntityQueueStats, queue_stats
from tds_models.db import autocommit_scope, make_engine
from tds_models.entities import ENTITIES

log = structlog.get_logger(__name__)


#: How many tasks Flower keeps, 3 kB each, unless `--max-tasks` says else. Its own 100,000 fill in hours of webhooks.
MOST_TASKS = 10_000


def bound_memory() -> None:
    """Let Flower keep fewer tasks than its own default."""
    options.max_tasks = MOST_TASKS


def protect() -> None:
    """Require the login where Flower itself requires none."""
    for view in (Metrics, Healthcheck):
        view.get = authenticated(view.get)


class BrokerWithWork:
    """A broker as Flower asks it, whose queues are followed by the work items of each entity."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker

    async def queues(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """The queues of the broker, then those of PostgreSQL; these alone, or those alone, if the other is away."""
        loop = asyncio.get_running_loop()
        work = await loop.run_in_executor(None, queued_work)
        try:
            nudges = await self._broker.queues(names)
        except Exception as error:  # whatever a client of a broker raises
            log.warning("flower_broker_away", error=type(error).__name__)
            nudges = []
        named = [{**queue, "name": queue["name"] + NUDGES} for queue in nudges]
        return [*named, *map(work_row, work)]


#: Follows the name of each queue of the broker.
NUDGES = " (nudges)"


def work_row(stats: EntityQueueStats) -> dict[str, Any]:
    """The work items of an entity as Flower shows a queue: all of them, leased to workers, due."""
    counts = (stats["due_count"], stats["waiting_count"], stats["leased_count"])
    return {
        "name": f"tds_sync_queue {stats['entity']}",
        "messages": sum(counts),
        "messages_unacknowledged": stats["leased_count"],
        "messages_ready": stats["due_count"],
    }


@cache
def _engine() -> Engine:
    chosen = load_settings()
    return make_engine(chosen.database_url, pool_size=1, application="tds-flower", timeouts=chosen.timeouts)


def queued_work() -> list[EntityQueueStats]:
    """The work items of every entity, also of those that have none; nothing while PostgreSQL cannot be asked."""
    if not load_settings().database_url:
        return []
    try:
        with autocommit_scope(_engine()) as session:
            found = {stats["entity"]: stats for stats in queue_stats(session)}
    except SQLAlchemyError as error:
        log.warning("flower_queue_not_read", error=type(error).__name__)
        return []
    none: EntityQueueStats = {
        "entity": "", "due_count": 0, "waiting_count": 0, "leased_count": 0, "oldest_due_seconds": 0.0,
    }  # fmt: skip
    return [found.get(name, {**none, "entity": name}) for name in ENTITIES]


def show_work() -> None:
    """Show work items beside the queues of the broker, on Flower's page and in its API."""
    get_broker = BaseHandler.get_broker
    BaseHandler.get_broker = lambda self: BrokerWithWork(get_broker(self))


if __name__ == "__main__":
    bound_memory()
    protect()
    show_work()
    sys.argv[:] = ["celery", "-A", "tds_tasks.app", "flower", *sys.argv[1:]]
    sys.exit(main())
