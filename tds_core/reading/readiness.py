"""Whether this process can do its work: the database answers and has the tables this version was written for."""

from functools import cache
from pathlib import Path

import redis
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.orm import Session

import migrations

_REVISION = text("select version_num from alembic_version")


@cache
def known_revisions() -> list[str]:
    """The schema revisions this version knows, the newest first."""
    return [script.revision for script in ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()]


def revision(session: Session) -> str:
    """The revision the database is at. Raises what the database raises, also when it was never migrated."""
    return str(session.execute(_REVISION).scalar_one())


def is_migrated(found: str) -> bool:
    """Whether tables of revision `found` serve this version. A revision unknown here is newer, which does."""
    known = known_revisions()
    return found not in known or found == known[0]


def redis_answers(url: str) -> bool:
    """Whether Redis answers within half a second."""
    try:
        with redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError, ValueError):
        return False
