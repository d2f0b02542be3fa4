"""Brokers that can be killed: a Redis with a replica and three Sentinels, and a RabbitMQ of one node."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from tds_local.embedded import binaries
from tests.support.tools import tool

LOOPBACK, MASTER = "127.0.0.1", "main"
READY_SECONDS = 120.0


def free_ports(count: int) -> list[int]:
    """Ports nothing listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def wait_until(happened: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
    """Wait for it; `what` is said when it does not come."""
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} within {seconds:.0f} s")
        time.sleep(0.1)


class Processes:
    """Child processes by name, ended with the block."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *argv: object, env: dict[str, str] | None = None) -> None:
        with (self.home / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [str(each) for each in argv], stdout=log, stderr=log, env=env, start_new_session=True, cwd=self.home
            )

    def kill(self, name: str) -> None:
        """SIGKILL to a process and what it started."""
        process = self.running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        for name in list(self.running):
            self.kill(name)


class SentinelRedis:
    """A master, its replica and three Sentinels, with a password. `url`: as TDS is given it."""

    def __init__(self, home: Path) -> None:
        self._processes, self._home = Processes(home), home
        self.password = secrets.token_hex(8)
        self.servers = dict(zip(("first", "second"), free_ports(2), strict=True))
        self.sentinels = free_ports(3)

    @property
    def url(self) -> str:
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self.sentinels)
        return f"sentinel://:{self.password}@{hosts}/0?master={MASTER}"

    def __enter__(self) -> Self:
        for name in self.servers:
            self.start(name, replica_of=None if name == "first" else "first")
        for number, port in enumerate(self.sentinels):
            file = self._home / f"sentinel-{number}.conf"
            file.write_text(
                f"bind {LOOPBACK}\nport {port}\ndir {self._home}\nprotected-mode no\n"
                f"sentinel monitor {MASTER} {LOOPBACK} {self.servers['first']} 2\n"
                f"sentinel auth-pass {MASTER} {self.password}\n"
                f"sentinel down-after-milliseconds {MASTER} 2000\nsentinel failover-timeout {MASTER} 10000\n"
            )
            self._processes.start(f"sentinel-{number}", binaries.redis_program(), file, "--sentinel")
        wait_until(self._sees_all, "the Sentinels see one another and the replica")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._processes.end()

    def start(self, name: str, *, replica_of: str | None) -> None:
        """Start a server, the second time as whatever the Sentinels make of it."""
        follows = ["--replicaof", LOOPBACK, self.servers[replica_of]] if replica_of else []
        self._processes.start(
            name, binaries.redis_program(), "--bind", LOOPBACK, "--port", self.servers[name], "--dir", self._home,
            "--save", "", "--requirepass", self.password, "--masterauth", self.password,
            "--repl-diskless-sync-delay", "0", *follows,
        )  # fmt: skip

    def kill_master(self) -> str:
        """Kill the server that is the master now. Returns its name."""
        [name] = [name for name, port in self.servers.items() if port == self.master_port()]
        self._processes.kill(name)
        return name

    def master_port(self) -> int:
        """The port of the master, as the Sentinels that can be asked say."""
        with redis.Redis(port=self.sentinels[0], decode_responses=True) as client:
            return int(client.execute_command("sentinel", "get-master-addr-by-name", MASTER)[1])

    def _sees_all(self) -> bool:
        try:
            with redis.Redis(port=self.sentinels[0], decode_responses=True) as client:
                state = client.sentinel_master(MASTER)
        except redis.RedisError:
            return False
        return int(state["num-slaves"]) == 1 and int(state["num-other-sentinels"]) == 2


class RabbitServer:
    """One node of RabbitMQ in a directory of its own, on loopback; its queues survive its end."""

    #: Where Debian's package keeps the program, without the wrapper that changes the user.
    PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def __init__(self, home: Path) -> None:
        self._processes, self._home = Processes(home), home
        self.port, self._distribution, self._epmd = free_ports(3)
        self._name = f"tds{self.port}@localhost"

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}//"

    def __enter__(self) -> Self:
        tool("rabbitmq-server", "Debian: rabbitmq-server")
        (self._home / "rabbitmq.conf").write_text(f"listeners.tcp.local = {LOOPBACK}:{self.port}\n")
        (self._home / "plugins").write_text("[].\n")
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._processes.end()
        if epmd := shutil.which("epmd"):
            subprocess.run([epmd, "-port", str(self._epmd), "-kill"], capture_output=True, check=False)

    def start(self) -> None:
        """Start the node, the second time with what it kept."""
        env = {
            "PATH": os.environ["PATH"], "HOME": str(self._home), "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": LOOPBACK, "ERL_EPMD_PORT": str(self._epmd),
            "RABBITMQ_NODENAME": self._name, "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_CONFIG_FILE": str(self._home / "rabbitmq"), "RABBITMQ_CONF_ENV_FILE": str(self._home / "none"),
            "RABBITMQ_MNESIA_BASE": str(self._home / "mnesia"), "RABBITMQ_LOG_BASE": str(self._home / "log"),
            "RABBITMQ_LOGS": "-", "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._home / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2",
        }  # fmt: skip
        self._processes.start("rabbitmq", self.PROGRAM, env=env)
        wait_until(self._answers, "RabbitMQ answers")

    def kill(self) -> None:
        """SIGKILL to the node."""
        self._processes.kill("rabbitmq")

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as probe:
                probe.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(probe.recv(1))
        except OSError:
            return False
