"""The environment of the first days: TDS as real processes beside a stand-in with Zoho's limits, on one clock."""

import dataclasses
import json
import os
import secrets
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from tds_core.config.settings import Settings, load_settings
from tds_lab.testbed import free_port
from tds_lab.zoho_stand_in import StandIn, StandInSpec
from tds_local.programs import programs_of
from tds_local.stack import Stack, running_stack
from tds_local.supervisor import Program
from tds_models.db import make_engine
from tds_models.entities import ENTITIES

PER_MINUTE, AT_ONCE, WEBHOOKS_PER_DAY = 100, 10, 1_000
EVENT_OF_RULE = {"created": "created", "edited": "updated", "deleted": "deleted"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is played: how fast minutes and days go by, Zoho's limit for a day, and the organisation's size.

    `sizes`: the stand-in's options; what they leave out is as large as it starts by itself.
    """

    speed: int
    per_day: int
    edits_per_second: float
    sizes: Mapping[str, int]

    @property
    def day_seconds(self) -> float:
        """How long a day of the quota lasts here."""
        return 86_400 / self.speed


@dataclasses.dataclass(frozen=True)
class Environment:
    """A running TDS, the stand-in's controls, and a way into the mirror that is nobody else's."""

    stack: Stack
    stand_in: StandIn
    engine: Engine

    def quota(self) -> dict[str, Any]:
        """What TDS itself says of its quota, over HTTP."""
        settings = self.stack.settings
        asked = urllib.request.Request(  # noqa: S310 (our own address)
            f"{self.stack.urls['api']}/zoho/quota", headers={"Authorization": f"Bearer {settings.api_token}"}
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
            return json.load(answer)  # type: ignore[no-any-return]

    def await_dawn(self) -> None:
        """Wait until one of Zoho's days begins, as its answers tell."""
        asked = urllib.request.Request(  # noqa: S310 (our own stand-in)
            f"{self.stand_in.url}/books/v3/organizations",
            headers={"Authorization": f"Zoho-oauthtoken {self.stand_in.token()}"},
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
            time.sleep(int(answer.headers["X-Rate-Limit-Reset"]))

    def send_webhooks(self, *, partial: float) -> None:
        """Have every change told by webhook; a share `partial` of them with a body that is not whole."""
        rules = [
            {
                "module": entity.stream.rule_module,
                "event": happened,
                "url": f"{self.stack.urls['webhooks']}/{entity.name}/{event}",
                "secret": self.stack.settings.zoho_webhook_secret,
            }
            for entity in ENTITIES.values()
            if entity.stream.rule_module
            for happened, event in EVENT_OF_RULE.items()
        ]
        self.stand_in.set_rules(rules)
        self.stand_in.set_faults({"partial": partial})


@contextmanager
def running_environment(plan: Plan) -> Iterator[Environment]:
    """Start everything in a home of its own and end it again."""
    home = Path(tempfile.mkdtemp(prefix="tds-bench-"))
    home.chmod(0o755)
    for name in [name for name in os.environ if name.startswith(("TDS_", "ZOHO_"))]:
        del os.environ[name]  # nothing of an operator's own TDS comes in here
    spec = StandInSpec(port=free_port(), counts={**plan.sizes, **_limits(plan)}, seed=7)
    try:
        with (
            running_stack(_settings(plan, spec, home), programs=lambda complete: _programs(complete, spec)) as stack,
            closing(StandIn(spec.url)) as stand_in,
        ):
            engine = make_engine(stack.settings.database_url, pool_size=2, application="tds-bench")
            try:
                yield Environment(stack, stand_in, engine)
            finally:
                engine.dispose()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _programs(settings: Settings, spec: StandInSpec) -> Iterator[Program]:
    """All of TDS but Flower, and Beat, whose timetable goes by real days."""
    yield spec.program()
    yield from (each for each in programs_of(settings) if each.name not in ("beat", "flower"))


def _limits(plan: Plan) -> dict[str, int]:
    return {
        "calls-per-minute": PER_MINUTE,
        "calls-per-day": plan.per_day,
        "concurrent-calls": AT_ONCE,
        "webhooks-per-day": WEBHOOKS_PER_DAY,
        "window-speed": plan.speed,
    }


def _settings(plan: Plan, spec: StandInSpec, home: Path) -> Settings:
    return load_settings(
        {
            "TDS_HOME": str(home),
            "TDS_PORT": str(free_port()),
            "TDS_FLOWER_PORT": str(free_port()),
            "TDS_LOG_LEVEL": "WARNING",
            "ZOHO_ACCOUNTS_URL": spec.url,
            "ZOHO_API_URL": spec.url,
            "ZOHO_CLIENT_ID": spec.client_id,
            "ZOHO_CLIENT_SECRET": spec.client_secret,
            "ZOHO_REFRESH_TOKEN": spec.refresh_token,
            "ZOHO_ORGANIZATION_ID": spec.organization_id,
            "ZOHO_WEBHOOK_SECRET": secrets.token_hex(20),
            "ZOHO_CALLS_PER_MINUTE": str(PER_MINUTE),
            "ZOHO_BOOKS_CALLS_PER_DAY": str(plan.per_day),
            "ZOHO_INVENTORY_CALLS_PER_DAY": str(plan.per_day),
            "ZOHO_CONCURRENT_CALLS": str(AT_ONCE),
            "ZOHO_QUOTA_SPEED": str(plan.speed),
        }
    )
