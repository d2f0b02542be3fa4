"""What a WSGI server serves: `tds_api.wsgi:app`, set up from the environment.

How an API process with many threads shares its one interpreter.
"""

import gc
import os
import resource
import sys

from tds_api.app import create_app
from tds_core.config.settings import load_settings
from tds_core.observability.logging import configure_logging
from tds_core.observability.tracing import start_tracing
from tds_tasks.nudge import nudge, publish_fast

# A thread that waits for the interpreter asks for it this often. The loop and the committer give it up by themselves,
# many times a burst; asking every five milliseconds, the default, costs a tenth of the processor time.
SWITCH_SECONDS = 0.05
# Each connection is a file, slow ones too; most shells and supervisors allow 1,024 until asked for more.
MOST_FILES = 16_384


def tune_process() -> None:
    """Fewer forced thread switches, files for many connections, and no garbage collection of what lives as long as the
    process. Call it last.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()


_settings = load_settings()
_settings.require("TDS_DATABASE_URL")
configure_logging(_settings, process="api")
start_tracing(_settings, process=os.environ.get("TDS_PROCESS") or "api")
publish_fast()

app = create_app(_settings, nudge=nudge)
tune_process()
