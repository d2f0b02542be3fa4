"""A whole TDS whose alerts go to two receivers of the test; what is hurt stays so until the test mends it."""

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests
from sqlalchemy import Engine, text

from tds_core.alerts.channels import store
from tds_core.config.settings import Settings, load_settings
from tds_core.crypto import Vault
from tds_core.subscriptions.ssrf_guard import configured_policy
from tds_core.sync import runs
from tds_lab.testbed import free_port
from tds_lab.zoho_stand_in import SIZES, StandInSpec
from tds_local.embedded.guardian import Guardian
from tds_local.programs import api, beat, environment_of
from tds_local.stack import Stack, running_stack
from tds_local.supervisor import Program, Supervisor, end_session
from tds_models.db import make_engine, session_scope
from tests.acceptance.workers import wait_for
from tests.support.alert_arrivals import Arrivals
from tests.support.webhook_sender import SECRET, item, signature

DISPATCHER, BEAT = "dispatcher", "beat"
#: A rule of the database that items of this name break.
BREAK_RULE = "alter table erp.product add constraint no_evil check (name <> 'Evil')"
CLI = (sys.executable, "-m", "tds_api.cli")


@dataclasses.dataclass(kw_only=True)
class AlertStack:
    """The stack. `own`: dispatcher and Beat, which nobody starts again; workers are kept by `tds workers start`."""

    stack: Stack
    own: Supervisor
    engine: Engine
    stand_in: str
    environment: dict[str, str]

    @property
    def settings(self) -> Settings:
        return self.stack.settings

    def execute(self, statement: str, **values: Any) -> None:
        """One statement, in a transaction of its own."""
        with session_scope(self.engine) as session:
            session.execute(text(statement), values)

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with session_scope(self.engine) as session:
            return list(session.execute(text(statement), values).all())

    def value(self, statement: str, **values: Any) -> Any:
        return self.rows(statement, **values)[0][0]

    def alerts(self) -> list[Any]:
        """Every alert, and how many attempts ended how: for the message of a test that fails."""
        found = self.rows("select rule, subject, state, muted_by, value, summary from tds_alerts order by id")
        return found + self.rows("select entity, outcome, error_class, count(*) from tds_sync_logs group by 1, 2, 3")

    def start(self, name: str) -> None:
        """Start the dispatcher or Beat, anew."""
        argv = (sys.executable, "-m", "tds_tasks.dispatcher")
        self.own.launch(Program(name=name, argv=argv) if name == DISPATCHER else beat(self.settings))

    def kill(self, name: str) -> None:
        """Kill the dispatcher or Beat, with all its children."""
        running = self.own.running[name]
        end_session(running.pid)
        running.process.wait()

    def command(self, *arguments: str) -> str:
        """What a `tds` command prints; it must succeed."""
        done = subprocess.run(
            [*CLI, *arguments], env=self.environment, capture_output=True, text=True, timeout=150, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def kill_workers(self) -> None:
        """Kill every worker, and first what would start them again."""
        keepers = [each for each in psutil.process_iter(["cmdline"]) if self._is_keeper(each)]
        families = [process for each in keepers for process in (each, *each.children(recursive=True))]
        assert len(families) > 1
        for process in families:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _is_keeper(self, process: psutil.Process) -> bool:
        if (process.info["cmdline"] or [])[-4:-1] != ["workers", "run", "--count"]:
            return False
        with contextlib.suppress(psutil.Error):
            return process.environ().get("TDS_HOME") == str(self.settings.home)
        return False

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the stand-in's control interface."""
        answer = requests.request(method, f"{self.stand_in}/_control{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def dump(self, plural: str) -> list[dict[str, Any]]:
        """The records of the stand-in."""
        answer = requests.get(f"{self.stand_in}/_control/dump/{plural}", timeout=30)
        return [requests.models.complexjson.loads(line) for line in answer.text.splitlines()]

    def request_run(self, entity: str, mode: str = "full") -> int:
        """Ask for a run; its id."""
        with session_scope(self.engine) as session:
            return runs.request_run(session, entity=entity, mode=mode, requested_by="test")

    def await_run(self, run_id: int, state: str, seconds: float = 60) -> None:
        """Wait until a run is in this state."""
        seen = "select state from tds_sync_runs where id = :id"
        assert wait_for(lambda: self.value(seen, id=run_id) == state, seconds), self.rows(seen, id=run_id)

    def webhook(self, body: bytes, path: str, *, secret: str = SECRET) -> int:
        """Send one webhook; the status of its answer."""
        headers = {"X-Zoho-Webhook-Signature": signature(body, secret=secret), "Content-Type": "application/json"}
        url = f"{self.stack.urls['webhooks']}/{path}"
        return requests.post(url, data=body, headers=headers, timeout=20).status_code


def broken_item(number: int) -> bytes:
    """An item that the mirror refuses, once BREAK_RULE is in force."""
    return requests.models.complexjson.dumps({"item": item(f"4699{number:08d}", name="Evil")}).encode()


def _settings(home: Path, spec: StandInSpec, arrivals: Arrivals) -> Settings:
    params = {
        "TDS_HOME": str(home), "TDS_PORT": str(free_port()), "TDS_FLOWER_PORT": str(free_port()),
        "TDS_LOG_FORMAT": "json", "TDS_WORKERS": "1", "TDS_WORKER_CONCURRENCY": "2", "ZOHO_WEBHOOK_SECRET": SECRET,
        "ZOHO_ACCOUNTS_URL": spec.url, "ZOHO_API_URL": spec.url, "ZOHO_CLIENT_ID": spec.client_id,
        "ZOHO_CLIENT_SECRET": spec.client_secret, "ZOHO_REFRESH_TOKEN": spec.refresh_token,
        "ZOHO_ORGANIZATION_ID": spec.organization_id, "ZOHO_CALLS_PER_MINUTE": "0", "ZOHO_CONCURRENT_CALLS": "0",
        "ZOHO_BOOKS_CALLS_PER_DAY": "0", "ZOHO_INVENTORY_CALLS_PER_DAY": "0", "TDS_GUARD_RECORDS": "20",
        "TDS_OUTBOUND_ALLOW": "127.0.0.0/8", "TDS_OUTBOUND_HTTP": "yes",
        "TDS_OUTBOUND_PORTS": f"443,{arrivals.http.port},{arrivals.mail_port}",
    }  # fmt: skip
    return load_settings(params)


@contextmanager
def alerting(arrivals: Arrivals) -> Iterator[AlertStack]:
    """A stack with the stand-in, products read once, both channels made, and no alert so far."""
    home = Path(tempfile.mkdtemp(prefix="tds-alerts-"))
    home.chmod(0o755)
    spec = StandInSpec(port=free_port(), counts=SIZES["small"], seed=7)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
    with contextlib.ExitStack() as ends:
        ends.callback(shutil.rmtree, home, ignore_errors=True)
        stack = ends.enter_context(
            running_stack(_settings(home, spec, arrivals), programs=lambda full: [spec.program(), api(full)])
        )
        environment = {**kept, **{k: v for k, v in environment_of(stack.settings).items() if k not in kept}}
        guard = Guardian()
        ends.callback(guard.close)
        own = Supervisor(logs=home / "logs", env=environment, guard=guard)
        ends.callback(own.stop, 5.0)
        engine = make_engine(stack.settings.database_url, pool_size=4, application="tds-test")
        ends.callback(engine.dispose)
        running = AlertStack(stack=stack, own=own, engine=engine, stand_in=spec.url, environment=environment)
        running.start(DISPATCHER)
        running.start(BEAT)
        running.command("workers", "start", "--count", "1")
        ends.callback(_end_workers, running)
        _settle(running, arrivals)
        yield running


def _end_workers(running: AlertStack) -> None:
    with contextlib.suppress(Exception):  # perhaps there are none any more
        running.command("workers", "stop")


def _settle(running: AlertStack, arrivals: Arrivals) -> None:
    """Read the products, have them sealed, and make the channels."""
    running.execute("update tds_scheduled_jobs set paused_at = now() where name = 'webhook-coverage'")
    running.await_run(running.request_run("product"), "completed", 90)
    running.execute(
        "insert into tds_schedule_slots (job, slot_at, claimed_at) values ('audit-seal', clock_timestamp(), null)"
    )
    sealed = "select count(*) from tds_audit_seals where trail = 'tds_audit_trail' and kind = 'rows'"
    assert wait_for(lambda: running.value(sealed) > 0, 90), running.rows("select * from tds_schedule_slots")
    assert wait_for(lambda: running.value("select count(*) from tds_pulses where name = 'alerts'") == 1, 60)
    vault, policy = Vault(running.settings.secret_key), configured_policy(running.settings)
    make: Callable[..., tuple[int, str | None]] = store.create
    with session_scope(running.engine) as session:
        _, secret = make(session, vault, policy, name="desk", address=arrivals.url, by="test", terms={})
        make(session, vault, policy, name="mail", address=arrivals.mail_address, by="test", terms={})
    arrivals.secret = secret or ""
    time.sleep(0.1)
