"""Starts a stand-in for Zoho on this machine and says where it answers."""

import argparse
import os
import socket

import msgspec
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from zoho_sandbox.settings import Settings
from zoho_sandbox.wsgi import SETTINGS_VARIABLE

# Standard output carries the one line that says where the sandbox is; the server's log goes elsewhere.
_TO_STDERR = {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}
_LOGGING = {"handlers": {"console": _TO_STDERR, "access": _TO_STDERR}}


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
        log_level=LogLevels.error,
        log_dictconfig=_LOGGING,
        workers_kill_timeout=5,
    ).serve()


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
