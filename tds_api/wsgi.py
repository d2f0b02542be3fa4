"""The WSGI entry point `tds_api.wsgi:app`, set up from the environment, and the tuning of its process."""

import gc
import os
import resource
import sys
import threading
from functools import partial

from tds_api.app import create_app
from tds_core.config.settings import load_settings
from tds_core.configuration.refresh import follow_configuration
from tds_core.observability.logging import configure_logging
from tds_core.observability.tracing import start_tracing
from tds_models.db import session_scope
from tds_tasks.alert_loop import start_alerts
from tds_tasks.worker_nudges import nudge, publish_fast

# A thread that waits for the interpreter requests it this often. The loop and the committer release it by themselves,
# many times a burst; the default of 5 ms costs a tenth of the processor time.
SWITCH_SECONDS = 0.05
# Each connection is a file; most shells and supervisors allow 1,024 by default.
MOST_FILES = 16_384


def tune_process() -> None:
    """Allow many open files, force fewer thread switches, freeze long-lived objects. Call it last."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_FILES if hard_limit == resource.RLIM_INFINITY else min(hard_limit, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard_limit))
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()


_settings = load_settings()
_settings.require("TDS_DATABASE_URL")
configure_logging(_settings, process="api")
start_tracing(_settings, process=os.environ.get("TDS_PROCESS") or "api")
publish_fast()

app = create_app(_settings, nudge=nudge)
follow_configuration(partial(session_scope, app.extensions["tds"].engine))
start_alerts(_settings, app.extensions["tds"].breakers, threading.Event(), is_first=False)
tune_process()
