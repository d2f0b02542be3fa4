"""The programs of a running TDS and their command lines, in the order they start."""

import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

from tds_core.config.settings import Settings
from tds_local.supervisor import Program

_CELERY = (sys.executable, "-m", "celery", "-A", "tds_tasks.app")
# Each costs connections and messages that nothing here uses; the heartbeat stays, since Flower needs it.
_QUIET = ("--without-gossip", "--without-mingle")


def programs_of(settings: Settings) -> Iterator[Program]:
    """Yield the API, the workers, the dispatcher, Beat and Flower."""
    yield api(settings)
    for number in range(1, settings.workers + 1):
        yield worker(settings, number)
    yield Program(name="dispatcher", argv=(sys.executable, "-m", "tds_tasks.dispatcher"))
    yield beat(settings)
    yield flower(settings)


def api(settings: Settings) -> Program:
    """The HTTP server. It closes connections whose request head does not arrive, and queues very many slow ones.

    HTTP/1 only, since Granian has a timeout for heads only there.
    """
    argv = (
        sys.executable, "-m", "granian", "--interface", "rsgi", "--no-ws", "--http", "1",
        "--http1-header-read-timeout", "15000", "--backlog", "4096", "--backpressure", "4096",
        "--host", settings.host, "--port", str(settings.port), "--workers", str(settings.api_processes),
        "--respawn-failed-workers", "--workers-kill-timeout", "10", "tds_api.rsgi:app",
    )  # fmt: skip
    return Program(name="api", argv=argv, is_ready=answering(f"{local_address(settings)}/healthz"))


def worker(settings: Settings, number: int, *, kind: str = "worker") -> Program:
    """One Celery worker; several small ones serve better than a big one. `kind`: prefix of its name."""
    argv = (
        *_CELERY, "worker", "-n", f"{kind}{number}@%h", "-c", str(settings.worker_concurrency),
        "-E", *_QUIET, "--loglevel", settings.log_level,
    )  # fmt: skip
    return Program(name=f"{kind}-{number}", argv=argv)


def beat(settings: Settings) -> Program:
    """Celery Beat. Its schedule file may be lost, since every slot is a row in the database."""
    argv = (
        *_CELERY,
        "beat",
        "-s",
        str(settings.home / "beat" / "schedule"),
        "--pidfile=",
        "--loglevel",
        settings.log_level,
    )
    return Program(name="beat", argv=argv)


def flower(settings: Settings) -> Program:
    """Flower, read-only and on loopback; its login is in the environment, since `ps` shows arguments."""
    argv = (
        sys.executable, "-m", "tds_api.flower", "--address=127.0.0.1", f"--port={settings.flower_port}", "--read-only",
    )  # fmt: skip
    login = {"FLOWER_BASIC_AUTH": f"{settings.flower_user}:{settings.flower_password}"}
    return Program(name="flower", argv=argv, env=login, is_ready=listening("127.0.0.1", settings.flower_port))


def local_address(settings: Settings) -> str:
    """Return the API's address as seen from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://{host}:{settings.port}"


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment all programs share."""
    return {
        **os.environ,
        **settings.as_environ(),
        "TDS_HOME": str(settings.home),
        "PROMETHEUS_MULTIPROC_DIR": str(settings.home / "metrics"),
        "PYTHONUNBUFFERED": "1",
    }


def answering(url: str) -> Callable[[], bool]:
    """Return a probe: does the address respond without a server error?"""

    def probe() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 (our own address)
                return True
        except urllib.error.HTTPError as error:
            return error.code < 500
        except OSError:
            return False

    return probe


def listening(host: str, port: int) -> Callable[[], bool]:
    """Return a probe: are connections accepted there?"""

    def probe() -> bool:
        try:
            with socket.create_connection((host, port), timeout=1):
                return True
        except OSError:
            return False

    return probe
