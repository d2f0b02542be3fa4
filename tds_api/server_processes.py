"""The API's processes, `python -m tds_api.server_processes HOST PORT COUNT APP`: one keeps the others, which load TDS.

The keeper imports nothing of TDS but this and the socket. What it has imported each worker inherits by fork, so that a
worker which loads again after an upgrade would go on with that part of the earlier version.
"""

import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import logger

from tds_api.http.listening_socket import Server

_BACKLOG = 4096  # very many slow connections wait rather than fail
_HEAD_MS = 15_000  # a head that has not arrived by then ends its connection; Granian has this for HTTP/1 only
KILL_SECONDS = 10
_LOAD_SECONDS = 60.0  # a new worker has this long to load the code
_LOOK_SECONDS = 0.1
_ELSEWHERE_SECONDS = 8.0


class Processes(Server):
    """Granian, whose workers end on a reload once the new ones serve; where these cannot, the old ones go on."""

    def _respawn_workers(self, workers: Any, spawn_target: Any, target_loader: Any, delay: float = 0) -> None:
        if not delay:  # one that ended by itself: there is nothing to wait with
            super()._respawn_workers(workers, spawn_target, target_loader)
            return
        for place in workers:
            new = self._spawn_worker(idx=place, target=spawn_target, callback_loader=target_loader)
            new.interrupt_by_parent = True  # that it ends is no reason to start anything
            new.start()
            if not self._comes_to_serve(new, seconds=delay):
                if not self.interrupt_signal:
                    logger.error("The code that is there now does not load: the worker before goes on")
                new.kill()
                continue
            new.interrupt_by_parent = False
            before, self.wrks[place] = self.wrks[place], new
            before.terminate()
            before.join(self.workers_kill_timeout)
            if before.is_alive():
                before.kill()

    def _comes_to_serve(self, worker: Any, *, seconds: float) -> bool:
        """Whether a worker serves in time: then it has a name of its own, and until then the one of its keeper.

        Nobody waits for it once all are to end.
        """
        keeper, own = Path("/proc/self/comm"), Path(f"/proc/{worker.inner.pid}/comm")
        if not keeper.exists():  # not Linux: no process tells
            time.sleep(_ELSEWHERE_SECONDS)
            return bool(worker.is_alive())
        deadline = time.monotonic() + seconds
        while worker.is_alive() and not self.interrupt_signal and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
            try:
                if own.read_text() != keeper.read_text():
                    return True
            except OSError:  # it has just ended
                return False
        return False


def serve(app: str, host: str, port: int, processes: int) -> None:
    """Serve `app` (module:attribute) until a signal ends it; SIGHUP has it load its code again while it serves."""
    # The socket is handed down by fork alone, which is no longer Python's own choice from 3.14 on.
    multiprocessing.set_start_method("fork")
    Processes(
        app,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        workers=processes,
        websockets=False,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_HEAD_MS),
        backlog=_BACKLOG,
        backpressure=_BACKLOG,
        respawn_failed_workers=True,
        respawn_interval=_LOAD_SECONDS,
        workers_kill_timeout=KILL_SECONDS,
    ).serve()


if __name__ == "__main__":
    serve(sys.argv[4], sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
