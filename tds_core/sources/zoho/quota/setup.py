"""Puts the governor together from the settings."""

import redis

from tds_core.config import Settings
from tds_core.sources.zoho.quota.governor import Governor
from tds_core.sources.zoho.quota.limits import limits_of
from tds_core.sources.zoho.quota.shared import SharedLedger

# A Redis that is slower than this is as good as away.
REDIS_SECONDS = 1.0


def open_ledger(settings: Settings) -> SharedLedger | None:
    """The ledger all processes share; `None` when no Redis is set, or nothing is limited."""
    limits = limits_of(settings)
    if not settings.redis_url or not limits.exist:
        return None
    client = redis.Redis.from_url(
        settings.redis_url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
    )
    return SharedLedger(client, limits, organization=settings.zoho_organization_id)


def open_governor(settings: Settings) -> Governor:
    """The organisation's governor. It asks Redis for nothing before the first call."""
    processes = settings.zoho_quota_processes or max(1, settings.workers * settings.worker_concurrency)
    return Governor(limits_of(settings), open_ledger(settings), processes=processes)
