"""Many processes that need a token in the same moment make Zoho give out one."""

import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tds_core.config.settings import load_settings
from tds_core.sources.zoho.factory import open_tokens
from tds_models.db import make_engine, session_scope
from tests.support.standin import StandIn

PROCESSES = 20


def ask(barrier: Barrier, said: Any, environ: dict[str, str]) -> None:
    """What each process does: wait for the others, then need a token."""
    settings = load_settings(environ)
    engine = make_engine(settings.database_url, pool_size=1)
    tokens = open_tokens(settings, lambda: session_scope(engine))
    barrier.wait(60)
    try:
        said.put(tokens.current()[0])
    except Exception as error:
        said.put(f"failed: {error}")


@pytest.mark.parametrize("has_old_one", [False, True], ids=["none yet", "one that ended"])
def test_twenty_processes_cause_one_refresh(standin: StandIn, database: str, has_old_one: bool) -> None:
    environ = {**standin.settings, "TDS_DATABASE_URL": database, "TDS_SECRET_KEY": Fernet.generate_key().decode()}
    if has_old_one:
        settings = load_settings(environ)
        engine = make_engine(database, pool_size=1)
        open_tokens(settings, lambda: session_scope(engine)).current()
        with engine.begin() as connection:
            connection.exec_driver_sql("update tds_source_tokens set expires_at = now() - interval '1 second'")
        engine.dispose()
        standin.calls.clear()
    standin.before_call = lambda path, query: time.sleep(0.5)
    # A server that has imported everything once; the test's own process has threads, and is not to be forked.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.integration.sources.zoho.test_tokens_stampede"])
    barrier, said = context.Barrier(PROCESSES), context.Queue()
    processes = [context.Process(target=ask, args=(barrier, said, environ), daemon=True) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    held = [said.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(30)
    assert len(set(held)) == 1
    assert held[0].startswith("1000.")
    assert standin.token_call_count == 1
