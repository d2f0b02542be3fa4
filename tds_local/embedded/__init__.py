"""A real PostgreSQL and a real Redis that TDS brings along, for one machine, the first run and the tests."""

from tds_local.embedded.postgres import EmbeddedPostgres
from tds_local.embedded.redis import EmbeddedRedis

__all__ = ["EmbeddedPostgres", "EmbeddedRedis"]
