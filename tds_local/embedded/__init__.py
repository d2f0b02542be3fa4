"""Embedded PostgreSQL and Redis: real servers that come with TDS, for one machine, the first run and tests."""

from tds_local.embedded.postgres import EmbeddedPostgres
from tds_local.embedded.redis import EmbeddedRedis

__all__ = ["EmbeddedPostgres", "EmbeddedRedis"]
