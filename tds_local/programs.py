"""The programs of a running TDS and their command lines, in the order they start."""

import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

from tds_core.config.settings import Settings
from tds_core.observability.process_usage import SERVING
from tds_local.supervisor import Program

#: While one server of the API restarts, or was killed, the other takes what comes: Zoho sends a webhook once.
LEAST_SERVERS = 2
_CELERY = (sys.executable, "-m", "celery", "-A", "tds_tasks.app")
# Each costs connections and messages that nothing here uses; the heartbeat stays, since Flower needs it.
_QUIET = ("--without-gossip", "--without-mingle")


def programs_of(settings: Settings) -> Iterator[Program]:
    """Yield the API's servers, the workers, the dispatcher, Beat, Flower, and where backups go somewhere their loop."""
    for number in range(1, max(settings.api_processes, LEAST_SERVERS) + 1):
        yield api(settings, number)
    for number in range(1, settings.workers + 1):
        yield worker(settings, number)
    yield Program(name="dispatcher", argv=(sys.executable, "-m", "tds_tasks.dispatcher"))
    yield beat(settings)
    yield flower(settings)
    if settings.backup_directory:
        yield Program(name="backup", argv=(sys.executable, "-m", "tds_local.backups.backup_loop"))


def api(settings: Settings, number: int = 1) -> Program:
    """One HTTP server; all share the port, and the kernel gives each its part."""
    argv = (
        sys.executable, "-m", "tds_api.server", "--host", settings.host, "--port", str(settings.port),
        "--processes", "1",
    )  # fmt: skip
    name = "api" if number == 1 else f"api-{number}"
    is_ready = answering(f"{local_address(settings)}/healthz")
    return Program(name=name, argv=argv, is_ready=is_ready, reload_signal=signal.SIGHUP, serving=SERVING)


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
