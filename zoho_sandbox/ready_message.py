"""The ready message: one JSON line on standard output that says where the sandbox is, once it answers there."""

import json
import sys
import threading
import time
from http.client import HTTPConnection

from zoho_sandbox.settings import Settings

_READY_WITHIN_SECONDS = 60.0
_SHOWN = ("url", "organization_id", "client_id", "client_secret", "refresh_token")


def announce_when_answering(settings: Settings) -> None:
    """Watch from a thread of the serving process; the process that starts it must stay free of threads to fork."""
    threading.Thread(target=_announce, args=(settings,), name="announcer", daemon=True).start()


def _announce(settings: Settings) -> None:
    until = time.monotonic() + _READY_WITHIN_SECONDS
    while not _answers(settings):
        if time.monotonic() > until:
            return
        time.sleep(0.02)
    sys.stdout.write(json.dumps({name: getattr(settings, name) for name in _SHOWN}) + "\n")
    sys.stdout.flush()


def _answers(settings: Settings) -> bool:
    connection = HTTPConnection(settings.host, settings.port, timeout=5)
    try:
        connection.request("GET", "/_control/state")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
