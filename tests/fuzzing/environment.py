"""What is fuzzed: a TDS that answers over HTTP on a database with rows in every table, and a key for each role."""

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from cryptography.fernet import Fernet
from sqlalchemy import Engine
from werkzeug.serving import WSGIRequestHandler, make_server

from benchmarks import seed
from tds_api.app import create_app
from tds_api.auth import middleware
from tds_core.auth import api_keys
from tds_core.config.settings import load_settings
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.standin import serving

#: Who asks when nobody known does.
NOBODY, ADMIN = "nobody", Role.ADMIN.value
#: Rows enough for a second page, few enough to be made in a second.
SIZE = seed.Size(events=400, attempts=200, letters=40, runs=60, changes=400, records=120)


@dataclass(frozen=True)
class Environment:
    """Where TDS answers, and what each asker carries."""

    url: str
    api_keys: Mapping[str, str]


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_arguments: object) -> None:
        """Quiet."""


@contextmanager
def running_environment(database: str, engine: Engine, redis_url: str) -> Iterator[Environment]:
    """A TDS on `database`, which is filled first, until the block ends. Strangers may guess as often as they like."""
    seed.fill(engine, SIZE)
    with session_scope(engine) as session:
        roles = (Role.VIEWER, Role.OPERATOR)
        made = {role.value: api_keys.create_key(session, name=role.value, role=role, by="fuzzing")[1] for role in roles}
    token = secrets.token_urlsafe(24)  # an administrator nobody can shut out
    with serving() as zoho, patch.object(middleware, "REFUSED_PER_MINUTE", 1_000_000):
        params = {
            "TDS_DATABASE_URL": database, "TDS_REDIS_URL": redis_url, "TDS_SECRET_KEY": Fernet.generate_key().decode(),
            "TDS_REQUESTS_PER_MINUTE": "0", "TDS_ADDRESS_REQUESTS_PER_MINUTE": "0", "ZOHO_WEBHOOK_SECRET": "x" * 20,
            "TDS_API_TOKEN": token, **zoho.settings,
        }  # fmt: skip
        app = create_app(load_settings(params), nudge=lambda entity: None)
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Environment(f"http://127.0.0.1:{server.server_port}", {NOBODY: "", **made, ADMIN: token})
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            app.extensions["tds"].close()
