"""Starts a stand-in for Zoho on this machine and says where it answers."""

import argparse
import json
import os
import socket
import sys
import threading
import time
from http.client import HTTPConnection

import msgspec
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from zoho_sandbox.settings import Settings
from zoho_sandbox.wsgi import SETTINGS_VARIABLE

_READY_WITHIN_SECONDS = 120.0


def parse(arguments: list[str] | None = None) -> Settings:
    """Settings from the command line: every field is an option of the same name with dashes."""
    parser = argparse.ArgumentParser(prog="zoho-sandbox", description=__doc__)
    for field in msgspec.structs.fields(Settings):
        option = "--" + field.name.replace("_", "-")
        if field.name == "url":
            continue
        if field.type is bool:
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=field.default)
        else:
            parser.add_argument(option, type=field.type, default=field.default, help=f"default {field.default}")
    return Settings(**vars(parser.parse_args(arguments)))


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; one JSON line on stdout tells when the sandbox answers, and where."""
    settings = parse(arguments)
    port = settings.port or _free_port(settings.host)
    settings = msgspec.structs.replace(settings, port=port, url=f"http://{settings.host}:{port}")
    os.environ[SETTINGS_VARIABLE] = msgspec.json.encode(settings).decode()
    threading.Thread(target=_announce, args=(settings,), daemon=True).start()
    Granian(
        "zoho_sandbox.wsgi:build",
        address=settings.host,
        port=port,
        interface=Interfaces.WSGI,
        # All state lives in memory, so there is exactly one process to hold it.
        workers=1,
        blocking_threads=settings.blocking_threads,
        factory=True,
        websockets=False,
        log_level=LogLevels.warning,
        workers_kill_timeout=5,
    ).serve()


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _announce(settings: Settings) -> None:
    """Print where the sandbox is, once it answers."""
    until = time.monotonic() + _READY_WITHIN_SECONDS
    while time.monotonic() < until:
        try:
            connection = HTTPConnection(settings.host, settings.port, timeout=5)
            connection.request("GET", "/_control/state")
            if connection.getresponse().status == 200:
                break
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    shown = ("url", "organization_id", "client_id", "client_secret", "refresh_token")
    sys.stdout.write(json.dumps({name: getattr(settings, name) for name in shown}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
