"""The served application: built in the server's one worker process from the settings in its environment."""

import atexit
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from zoho_sandbox.api.faulty_responses import STREAMED
from zoho_sandbox.app import create_app
from zoho_sandbox.ready_message import announce_when_answering
from zoho_sandbox.sandbox import Sandbox
from zoho_sandbox.settings import Settings

SETTINGS_VARIABLE = "ZOHO_SANDBOX_SETTINGS"
_PR_SET_PDEATHSIG = 1

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def build() -> WsgiApp:
    """The application over a freshly seeded sandbox, its threads running."""
    _die_with_parent()
    settings = msgspec.json.decode(os.environ[SETTINGS_VARIABLE], type=Settings)
    sandbox = Sandbox(settings)
    sandbox.start()
    atexit.register(sandbox.stop)
    announce_when_answering(settings)
    return whole_bodies(create_app(sandbox))


def whole_bodies(app: WsgiApp) -> WsgiApp:
    """Hand bodies over in one piece, which the server sends faster, except where pieces are the point."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = app(environ, start_response)
        if environ.get(STREAMED):
            return answer
        try:
            return list(answer)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()

    return serve


def _die_with_parent() -> None:
    """On Linux, end when the process that serves us ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
