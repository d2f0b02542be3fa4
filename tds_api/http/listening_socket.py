"""The API's listening socket: it outlives the workers that accept from it, so that no sender is cut off by a restart.

Granian gives each worker a socket of its own on Linux, and what waits in it is reset when the worker ends. Here the
process that keeps the workers holds one for all: who connects while a worker loads again is answered by the next.
"""

import asyncio
import os
import signal
import socket
from typing import Any

from granian.server.mp import MPServer

# Time to read what was accepted just before the end; what was read has all the time until it is answered.
_LAST_READS_SECONDS = 0.5
_shared: list[int] = []  # the socket's file descriptor, the same in the process that keeps the workers and in each


class Server(MPServer):
    """Granian with one socket for all its workers."""

    def _init_shared_socket(self) -> None:
        super()._init_shared_socket()
        holder: Any = self._shd
        if holder is None:
            spec: Any = self._ssp
            self._shd = holder = spec.build()
            self._ssp = None
        _shared[:] = [holder.get_fd()]

    def _stop_workers(self) -> None:
        # Nothing may wait in it any more: with the last worker's copy it is gone, and others have the port alone.
        os.close(_shared.pop())
        super()._stop_workers()


def end_in_order_on_sigterm(loop: asyncio.AbstractEventLoop) -> None:
    """Have SIGTERM end this worker in order from now on."""
    if _shared:
        loop.add_signal_handler(signal.SIGTERM, _end_in_order, loop, _shared[0])


def _end_in_order(loop: asyncio.AbstractEventLoop, listening: int) -> None:
    """Stop accepting, and end a moment later: the server closes connections of which it has read nothing yet."""
    silent = socket.create_server(("127.0.0.1", 0))
    silent.setblocking(False)
    os.dup2(silent.fileno(), listening)  # the socket itself stays open where others hold it
    loop.call_later(_LAST_READS_SECONDS, os.kill, os.getpid(), signal.SIGINT)
