"""An embedded Redis (Valkey) for one machine. It holds nudges, breakers and caches, and may be lost at any time."""

import signal
import subprocess
import threading
import time
from pathlib import Path

import redis

from tds_core.errors import EmbeddedServerError
from tds_core.redis_client import redis_client
from tds_local.embedded import binaries
from tds_local.embedded.child_process import Child, end_leftovers, spawn
from tds_local.embedded.home import Ownership, secret_of_home, write_private
from tds_local.embedded.readiness import LOOPBACK, StartFailure, check_files, choose_port, known_port, wait_until_ready

_READY_SECONDS = 60.0
_STOP_SECONDS = 15.0
# noeviction: a full Redis must refuse writes rather than evict queues.
_CONFIGURATION = """\
bind {address}
port {port}
requirepass {password}
dir {directory}
appendonly {appendonly}
appendfsync everysec
save ""
maxmemory {maxmemory}
maxmemory-policy noeviction
tcp-keepalive 30
timeout 0
client-output-buffer-limit pubsub 32mb 8mb 60
daemonize no
"""


class EmbeddedRedis:
    """A Redis in a home directory, on loopback, with a password. `durable=False`: without persistence, for tests."""

    def __init__(self, home: Path, *, durable: bool = True, maxmemory: str = "256mb") -> None:
        self._home, self._durable, self._maxmemory = home, durable, maxmemory
        self._directory = home / "redis"
        self._ownership = Ownership(self._directory / "owner", what="An embedded Redis")
        self._log = home / "logs" / "redis.log"
        self._process: Child | None = None
        self._url, self._port = "", 0
        self._ended = threading.Event()

    @property
    def url(self) -> str:
        """The address of the running server, database 0; empty when it does not run."""
        return self._url

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> str:
        """Start the server and return its address; raises AlreadyRunningError or EmbeddedServerError."""
        self._ownership.take()
        self._ended.clear()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self._url

    def stop(self) -> None:
        """Shut it down, with all data written to its append-only file. Safe to call twice."""
        self._ended.set()  # for another thread that is starting it again
        process, self._process, self._url, self._port = self._process, None, "", 0
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._ownership.release()

    def state(self) -> str:
        """How the server does, in words."""
        process = self._process
        if process is None or process.poll() is not None:
            return "ended, and is being started again"
        return f"runs (process {process.pid}, {self._log})"

    def keep_running(self) -> bool:
        """Restart it at the same address if it has ended. Returns whether it had. Raises what `start` raises."""
        if self._process is None or self._process.poll() is None:
            return False
        self._start()
        return True

    def __enter__(self) -> "EmbeddedRedis":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        check_files("Redis")
        program = binaries.redis_program()
        password = secret_of_home(self._home, "EMBEDDED_REDIS_PASSWORD")
        end_leftovers(("valkey", "redis"), self._directory, gently=signal.SIGTERM)
        for attempt in (1, 2, 3):
            try:
                self._url = self._launch(program, password)
                return
            except StartFailure as failure:
                if not failure.is_passing or attempt == 3 or self._ended.is_set():
                    raise EmbeddedServerError(f"The embedded Redis did not start: {failure}") from None
                time.sleep(attempt)

    def _launch(self, program: Path, password: str) -> str:
        port = known_port(self._port) or choose_port(self._directory / "port")
        self._directory.chmod(0o700)  # its files are as open as its umask
        configuration = self._directory / "redis.conf"
        text = _CONFIGURATION.format(
            address=LOOPBACK, port=port, password=password, directory=f'"{self._directory}"',
            appendonly="yes" if self._durable else "no", maxmemory=self._maxmemory,
        )  # fmt: skip
        write_private(configuration, text)
        since = self._log.stat().st_size if self._log.exists() else 0
        self._process = spawn([str(program), str(configuration)], log=self._log, cwd=self._directory)
        url = f"redis://:{password}@{LOOPBACK}:{port}/0"
        wait_until_ready(self._process, self._log, lambda: _answers(url), seconds=_READY_SECONDS, since=since)
        self._port = port
        return url


def _answers(url: str) -> bool:
    client = redis_client(url, timeout_seconds=2)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
