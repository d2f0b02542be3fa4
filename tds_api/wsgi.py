"""What a WSGI server serves: `tds_api.wsgi:app`, set up from the environment."""

import os

from tds_api.app import create_app
from tds_api.tuning import tune_process
from tds_core.config import load_settings
from tds_core.logging import configure_logging
from tds_core.tracing import start_tracing
from tds_tasks.nudge import nudge, publish_fast

_settings = load_settings()
_settings.require("TDS_DATABASE_URL")
configure_logging(_settings, process="api")
start_tracing(_settings, process=os.environ.get("TDS_PROCESS") or "api")
publish_fast()

app = create_app(_settings, nudge=nudge)
tune_process()
