"""Two processes evaluate alerts while they are killed, lose their lock and die between sending and recording.

Conditions flip meanwhile; afterwards every transition, every delivery and every end is held against each other.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import Engine, text

from tds_core.alerts.channels import store
from tds_core.config.settings import Settings, load_settings
from tds_core.crypto import Vault
from tds_core.schema.migrations import upgrade
from tds_core.subscriptions.ssrf_guard import configured_policy
from tds_local.embedded import EmbeddedPostgres
from tds_models.db import make_engine, session_scope

SECONDS, EVERY_SECONDS, LEASE_SECONDS = 600.0, 15.0, 60.0
#: A condition that lasts for so many evaluations is seen by one, whoever is killed meanwhile.
LASTING_EVALUATIONS, START_SECONDS = 2, 15.0
#: A subject fires at most so often, or it would be flapping.
MOST_EPISODES = 3
KILLED_WHILE_SENDING = 0.1

_EPISODES = """
select t.alert_id, t.episode, t.subject, t.at as fired_at, r.at as resolved_at, d.state, cast(d.message_id as text),
    d.lease_token is not null or d.tries @> '[{"may_have_arrived": true}]' as is_uncertain
from tds_alert_transitions t
left join tds_alert_transitions r on r.alert_id = t.alert_id and r.episode = t.episode and r.to_state = 'resolved'
left join tds_alert_deliveries d on d.alert_id = t.alert_id and d.episode = t.episode and d.kind = 'firing'
where t.to_state = 'firing'
"""


@dataclass
class Inbox:
    """What the receiver took: (alert, since, kind) and the ids it came with. `in_hand`: messages being received."""

    ids: dict[tuple[int, str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    requests: int = 0
    on_message: threading.Event = field(default_factory=threading.Event)

    def take(self, raw: bytes, message_id: str) -> None:
        """Keep one message."""
        self.requests += 1
        for alert in json.loads(raw)["data"]["alerts"]:
            self.ids[int(alert["id"]), alert["since"], alert["kind"]].append(message_id)


@dataclass
class Loops:
    """Two processes with an alert loop; the one killed is started again."""

    environ: Mapping[str, str]
    arguments: tuple[str, str]
    log: Any
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start one."""
        argv = [sys.executable, "-m", "benchmarks.alert_crash_recovery_child", *self.arguments]
        self.processes.append(subprocess.Popen(argv, env=dict(self.environ), stdout=self.log, stderr=self.log))

    def kill(self) -> None:
        """Kill the older one, which most often leads, and start another."""
        process = self.processes.pop(0)
        process.kill()
        process.wait()
        self.start()

    def stop(self) -> None:
        """End both."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(30)


@contextlib.contextmanager
def receiving(inbox: Inbox, jitter: random.Random) -> Iterator[int]:
    """The port of a receiver; some of its answers wait for the sender to be killed."""

    class Asked(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            inbox.take(raw, self.headers["webhook-id"])
            if jitter.random() < KILLED_WHILE_SENDING:
                inbox.on_message.set()
                time.sleep(0.5)
            with contextlib.suppress(OSError):
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


class Conditions:
    """What is on; `lasted`: subjects and how often each was on for long enough to be seen."""

    def __init__(self, engine: Engine, lasting_seconds: float, jitter: random.Random) -> None:
        self._engine, self._lasting, self.jitter = engine, lasting_seconds, jitter
        self._on: dict[str, float] = {}
        self._off: dict[str, float] = {}
        self._flips: dict[str, int] = defaultdict(int)
        self.lasted: dict[str, int] = defaultdict(int)
        self.flip_count = 0
        with engine.begin() as connection:
            connection.execute(text("create table bench_conditions (subject text primary key)"))

    def flip(self) -> None:
        """One goes on, or off."""
        now = time.monotonic()
        self.flip_count += 1
        if self._on and self.jitter.random() < 0.5:
            self._end(self.jitter.choice(sorted(self._on)), now)
            return
        rested = [
            name for name, since in self._off.items()
            if self._flips[name] < MOST_EPISODES and now - since > 2 * self._lasting
        ]  # fmt: skip
        name = self.jitter.choice(rested) if rested and self.jitter.random() < 0.5 else f"subject {len(self._flips)}"
        self._execute("insert into bench_conditions values (:name)", name)
        self._on[name] = time.monotonic()
        self._off.pop(name, None)
        self._flips[name] += 1

    def end_all(self) -> None:
        """All go off."""
        for name in sorted(self._on):
            self._end(name, time.monotonic())

    def _end(self, name: str, now: float) -> None:
        self._execute("delete from bench_conditions where subject = :name", name)
        self.lasted[name] += now - self._on.pop(name) > self._lasting
        self._off[name] = now

    def _execute(self, statement: str, name: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(statement), {"name": name})


def measure(
    seconds: float = SECONDS, *, every: float = EVERY_SECONDS, lease: float = LEASE_SECONDS, seed: int = 1
) -> dict[str, Any]:
    """How many flips, kills and messages there were in so many seconds, and what was lost: nothing."""
    home = Path(tempfile.mkdtemp(prefix="tds-bench-"))
    home.chmod(0o755)
    jitter, inbox = random.Random(seed), Inbox()
    try:
        with EmbeddedPostgres(home) as server, receiving(inbox, jitter) as port, (home / "log").open("wb") as log:
            upgrade(server.url)
            settings = _settings(server.url, home, port)
            engine = make_engine(server.url, pool_size=4, application="tds-bench")
            _create_channel(engine, settings, port)
            kept = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
            loops = Loops({**kept, **settings.as_environ(), "TDS_HOME": str(home)}, (str(every), str(lease)), log)
            conditions = Conditions(engine, every * LASTING_EVALUATIONS + START_SECONDS, jitter)
            try:
                figures = _torment(engine, loops, inbox, conditions, seconds)
                figures["drain_seconds"] = round(_drain(engine, lease + every * 4 + 90))
            finally:
                loops.stop()
            figures |= judged(engine, inbox, conditions, 2 * (lease + START_SECONDS) + 3 * every)
            engine.dispose()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return figures


def _settings(url: str, home: Path, port: int) -> Settings:
    params = {
        "TDS_DATABASE_URL": url, "TDS_HOME": str(home), "TDS_SECRET_KEY": Fernet.generate_key().decode(),
        "TDS_OUTBOUND_ALLOW": "127.0.0.0/8", "TDS_OUTBOUND_HTTP": "yes", "TDS_OUTBOUND_PORTS": str(port),
        "TDS_LOG_LEVEL": "WARNING",
    }  # fmt: skip
    return load_settings(params)


def _create_channel(engine: Engine, settings: Settings, port: int) -> None:
    with session_scope(engine) as session:
        address = f"http://127.0.0.1:{port}/alerts"
        policy = configured_policy(settings)
        store.create(session, Vault(settings.secret_key), policy, name="desk", address=address, by="bench", terms={})


def _torment(engine: Engine, loops: Loops, inbox: Inbox, conditions: Conditions, seconds: float) -> dict[str, Any]:
    """Flip, kill and drop locks at random for so long; then all conditions end."""
    jitter = conditions.jitter
    counts = {"kills": 0, "dropped_locks": 0, "kills_while_sending": 0}
    loops.start()
    loops.start()
    _await_evaluation(engine)
    until, next_kill = time.monotonic() + seconds, time.monotonic() + START_SECONDS / 3
    while time.monotonic() < until:
        conditions.flip()
        if inbox.on_message.wait(jitter.uniform(0.05, 0.8)):
            # The message has arrived, and the sender does not know it yet.
            loops.kill()
            counts["kills_while_sending"] += 1
            inbox.on_message.clear()
        elif time.monotonic() > next_kill:
            next_kill = time.monotonic() + jitter.uniform(3, 12)
            if jitter.random() < 0.5:
                loops.kill()
                counts["kills"] += 1
            else:
                counts["dropped_locks"] += _drop_lock(engine)
    conditions.end_all()
    inbox.on_message.clear()
    return {"seconds": seconds, "flips": conditions.flip_count, **counts}


def _await_evaluation(engine: Engine) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with engine.connect() as connection:
            if connection.execute(text("select count(*) from tds_pulses where name = 'alerts'")).scalar():
                return
        time.sleep(0.1)
    raise RuntimeError("No process evaluates.")


def _drop_lock(engine: Engine) -> int:
    with engine.begin() as connection:
        statement = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tds-alerts'"
        return len(connection.execute(text(statement)).all())


def _drain(engine: Engine, most_seconds: float) -> float:
    """Wait until no alert fires and nothing is to be sent. Returns the seconds."""
    began = time.monotonic()
    statement = """
        select (select count(*) from tds_alerts where state not in ('resolved', 'ok'))
             + (select count(*) from tds_alert_deliveries where state = 'queued')"""
    while time.monotonic() < began + most_seconds:
        with engine.connect() as connection:
            if connection.execute(text(statement)).scalar() == 0:
                break
        time.sleep(0.5)
    return time.monotonic() - began


def judged(engine: Engine, inbox: Inbox, conditions: Conditions, sent_within: float) -> dict[str, Any]:
    """What arrived and what is stored, held against each other; those named differences and owed are 0.

    `sent_within`: an alert that fired for so many seconds was sent, whoever died meanwhile.
    """
    with engine.connect() as connection:
        transitions = connection.execute(text(
            "select alert_id, episode, from_state, to_state from tds_alert_transitions order by alert_id, id"
        )).all()  # fmt: skip
        rows = connection.execute(text("select id, state, episode from tds_alerts")).all()
        episodes = connection.execute(text(_EPISODES)).mappings().all()
        open_count = connection.execute(text("select count(*) from tds_alerts where state <> 'resolved'")).scalar()
    stored = {row.id: (row.state, row.episode) for row in rows}
    taken = inbox.ids
    told = {(alert, since) for alert, since, kind in taken if kind == "firing"}
    ended = {(alert, since) for alert, since, kind in taken if kind == "resolved"}
    fired: dict[str, int] = defaultdict(int)
    for each in episodes:
        fired[each["subject"]] += 1
    uncertain = {(each["alert_id"], _shown(each["fired_at"])) for each in episodes if each["is_uncertain"]}
    received = {message_id for ids in taken.values() for message_id in ids}
    return {
        "transitions": len(transitions), "firings": len(episodes), "messages": len(received),
        "repeated_messages": inbox.requests - len(received),
        "firings_that_ended_unsent": sum(each["state"] != "sent" for each in episodes),
        "chain_differences": _breaks(transitions, stored),
        "lasting_conditions_owed": sum(max(0, count - fired[name]) for name, count in conditions.lasted.items()),
        "deliveries_owed": sum(_is_owed(each, received, sent_within) for each in episodes) + int(open_count or 0),
        "message_id_differences": sum(len(set(ids)) > 1 for ids in taken.values()),
        # Its sender died while it sent the firing, so nobody knows whether it arrived: the end is sent all the same.
        "ends_of_uncertain_firings": len((ended - told) & uncertain),
        "ends_without_firing_differences": len(ended - told - uncertain),
        "firings_without_end_differences": len(told - ended),
    }  # fmt: skip


def _shown(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _is_owed(episode: Mapping[str, Any], received: set[str], sent_within: float) -> bool:
    """Whether a firing did not arrive, though it lasted for long enough, or is said to have been sent."""
    if episode["state"] == "sent":
        return episode["message_id"] not in received
    lasted = (episode["resolved_at"] - episode["fired_at"]).total_seconds() if episode["resolved_at"] else sent_within
    return lasted >= sent_within


def _breaks(transitions: Any, stored: Mapping[int, tuple[str, int]]) -> int:
    """Where a transition does not begin with what the one before it ended with, or the last is not what is stored."""
    states: dict[int, tuple[str, int]] = {}
    breaks = 0
    for alert_id, episode, before, after in transitions:
        state, number = states.get(alert_id, ("ok", 0))
        breaks += before != state or not number <= episode <= number + 1
        states[alert_id] = after, episode
    return breaks + sum(states.get(alert_id, ("ok", 0)) != each for alert_id, each in stored.items())


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--every", type=float, default=EVERY_SECONDS, help="seconds between evaluations")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for name, value in measure(given.seconds, every=given.every, seed=given.seed).items():
        print(f"{name:34} {value:>10}")


if __name__ == "__main__":
    main()
