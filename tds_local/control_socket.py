"""The control socket of a running stack: other commands of this machine ask how it does, stop it, restart a program.

A socket of the home directory that only its account may open. A line of JSON each way: `{"ask": "status"}`,
`{"ask": "stop"}` or `{"ask": "restart", "program": NAME}`; an answer with `error` says what was wrong.
"""

import contextlib
import dataclasses
import os
import signal
import socket
import tempfile
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tds_core.errors import NotFoundError, NotRunningError
from tds_core.observability.logging import get_logger
from tds_local.embedded import EmbeddedPostgres, EmbeddedRedis
from tds_local.supervisor import Supervisor

log = get_logger(__name__)

NAME = "control.sock"
# What the kernel takes as a socket's address, less its end.
_LONGEST_PATH = 100
_ANSWER_SECONDS = 10.0
_LARGEST_LINE = 65_536
Answer = dict[str, Any]


def socket_path(home: Path) -> Path:
    """Where the socket is: in the home, or in the directory for temporary files where that path would be too long."""
    path = home.resolve() / NAME
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    return Path(tempfile.gettempdir()) / f"tds-{os.getuid()}-{zlib.crc32(os.fsencode(path)):08x}.sock"


class ControlSocket:
    """Answers until closed, one question after the other."""

    def __init__(
        self, home: Path, supervisor: Supervisor, servers: Mapping[str, EmbeddedPostgres | EmbeddedRedis]
    ) -> None:
        self._path, self._supervisor, self._servers = socket_path(home), supervisor, servers
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._serve, name="control socket", daemon=True)

    def open(self) -> None:
        """Begin to answer. The home's owner is this process, so what lies at the path is left over."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._listener.bind(str(self._path))
        finally:
            os.umask(before)
        self._listener.listen(8)
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_ANSWER_SECONDS)
                connection.sendall(msgspec.json.encode(self._answer(_line(connection))) + b"\n")

    def _answer(self, line: bytes) -> Answer:
        try:
            question = msgspec.json.decode(line, type=dict[str, str])
            asked = question.get("ask", "")
            if asked == "status":
                programs = [dataclasses.asdict(each) for each in self._supervisor.statuses()]
                servers = {name: each.state() for name, each in self._servers.items()}
                return {"pid": os.getpid(), "programs": programs, "servers": servers}
            if asked == "restart":
                return {"done": self._supervisor.restart(question.get("program", ""))}
            if asked == "stop":
                os.kill(os.getpid(), signal.SIGTERM)  # as if from outside: in order, once
                return {"done": "stops"}
        except (msgspec.DecodeError, NotFoundError) as error:
            return {"error": str(error)}
        except Exception as error:
            log.exception("control_failed", error=type(error).__name__)
            return {"error": f"{type(error).__name__}; see the log of tds up"}
        return {"error": f"Nothing is known of {asked!r}; ask status, stop or restart."}


def ask(home: Path, question: str, **more: str) -> Answer:
    """Ask the stack that runs in `home`. Raises NotRunningError where none answers, NotFoundError with its reason."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(str(socket_path(home)))
            connection.sendall(msgspec.json.encode({"ask": question, **more}) + b"\n")
            answer: Answer = msgspec.json.decode(_line(connection))
        except (OSError, msgspec.DecodeError) as error:
            raise NotRunningError(
                f"No TDS answers in {home.resolve()} ({error})."
                " Start one with: tds up; or set TDS_HOME to where one runs."
            ) from None
    if "error" in answer:
        raise NotFoundError(answer["error"])
    return answer


def _line(connection: socket.socket) -> bytes:
    """What comes up to the end of a line."""
    said = b""
    while not said.endswith(b"\n") and len(said) < _LARGEST_LINE and (more := connection.recv(_LARGEST_LINE)):
        said += more
    return said
