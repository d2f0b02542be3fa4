"""The environment of demo and chaos: a clean home in which all of TDS runs with the Zoho stand-in."""

import contextlib
import dataclasses
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import Engine

from tds_api.cli.common.output import say
from tds_core.config.settings import DECLARATIONS, Settings, load_settings
from tds_core.config.sources import layers_of_this_process
from tds_core.errors import ConfigError
from tds_lab.zoho_stand_in import StandIn, StandInSpec
from tds_local.embedded.home import Ownership
from tds_local.embedded.readiness import is_free
from tds_local.programs import programs_of
from tds_local.stack import OnStep, Stack, running_stack
from tds_models.db import make_engine

# Settings of the operator that apply in a demo too; above all not those of databases and of Zoho.
PASSED_ON = frozenset(
    {
        "TDS_HOME", "TDS_HOST", "TDS_PORT", "TDS_FLOWER_PORT", "TDS_API_PROCESSES", "TDS_API_THREADS", "TDS_WORKERS",
        "TDS_WORKER_CONCURRENCY", "TDS_CLAIM_SIZE", "TDS_LEASE_SECONDS", "TDS_HEARTBEAT_SECONDS", "TDS_LOG_FORMAT",
        "TDS_LOG_LEVEL", "TDS_SLOW_SECONDS", "TDS_CURSOR_OVERLAP_SECONDS", "TDS_OUTBOUND_ALLOW", "TDS_OUTBOUND_PORTS",
        "TDS_OUTBOUND_HTTP",
    }
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Environment:
    """A running TDS with the stand-in: its stack, the stand-in's controls, and an own engine for the mirror."""

    stack: Stack
    stand_in: StandIn
    engine: Engine


def settings_of_demo(spec: StandInSpec, *, workers: int | None) -> Settings:
    """The settings of a demo: the operator's where they do no harm, the stand-in's for Zoho, free ports.

    Raises ConfigError when a port that the operator named is taken; another one in place of a default is printed.
    """
    layers = layers_of_this_process()
    params = {name: value for layer in reversed(layers) for name, value in layer.values.items()}
    settings = load_settings({name: value for name, value in params.items() if name in PASSED_ON})
    named = {name for layer in layers if layer.name != "running stack" for name, value in layer.values.items() if value}
    ports = {
        "port": _port("TDS_PORT", settings.port, settings.host, is_named="TDS_PORT" in named),
        "flower_port": _port("TDS_FLOWER_PORT", settings.flower_port, "127.0.0.1", is_named="TDS_FLOWER_PORT" in named),
    }
    return settings.replace(
        "demo",
        **ports,
        home=settings.home / "demo",
        zoho_accounts_url=spec.url,
        zoho_api_url=spec.url,
        zoho_client_id=spec.client_id,
        zoho_client_secret=spec.client_secret,
        zoho_refresh_token=spec.refresh_token,
        zoho_organization_id=spec.organization_id,
        zoho_webhook_secret=secrets.token_hex(20),
        # The stand-in of the demo has no limits either.
        zoho_calls_per_minute=0,
        zoho_books_calls_per_day=0,
        zoho_inventory_calls_per_day=0,
        zoho_concurrent_calls=0,
        # No person is there to approve a run that the mass-change guard holds.
        guard_percent=100,
        **({} if workers is None else {"workers": workers}),
    )


def _port(variable: str, port: int, host: str, *, is_named: bool) -> int:
    """This port while it is free, else another one."""
    if is_free(port, host):
        return port
    if is_named:
        raise ConfigError(f"Port {port} on {host} is taken by another program. Set {variable} to a free one.")
    chosen = free_port()
    say(f"Port {port} on {host} is taken: the demo uses {chosen}. Another one: set {variable}.", err=True)
    return chosen


@contextlib.contextmanager
def running_environment(
    settings: Settings, spec: StandInSpec, *, on_step: OnStep, extra_env: Mapping[str, str] | None = None
) -> Iterator[Environment]:
    """Start everything in a clean home and end it again. Raises what `running_stack` raises.

    `extra_env` reaches all programs.
    """
    clean(settings.home)
    _forget_environment()
    spelled = {name: _spelled(settings.value_of(each)) for name, each in DECLARATIONS.items()}
    extra = {name: value for name, value in spelled.items() if value}
    extra |= {"TDS_UNSIGNED_WEBHOOKS": "no", **(extra_env or {})}
    for name in ("TDS_DATABASE_URL", "TDS_REDIS_URL", "TDS_BROKER_URL"):
        extra.pop(name, None)
    with (
        running_stack(
            settings,
            extra_env=extra,
            on_step=on_step,
            programs=lambda complete: [spec.program(), *programs_of(complete)],
        ) as stack,
        contextlib.closing(StandIn(spec.url)) as stand_in,
    ):
        engine = make_engine(stack.settings.database_url, pool_size=2, application="tds-demo")
        try:
            yield Environment(stack, stand_in, engine)
        finally:
            engine.dispose()


def clean(home: Path) -> None:
    """Remove what an earlier demo left. Raises AlreadyRunningError while one runs there."""
    owner = Ownership(home / "owner", what="A demo")
    owner.take()
    try:
        place = home / "postgres" / "place"
        if place.is_file():  # an account of its own keeps its files elsewhere
            shutil.rmtree(place.read_text().strip(), ignore_errors=True)
        for path in home.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "owner":
                path.unlink()
    finally:
        owner.release()


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _forget_environment() -> None:
    """Remove the operator's TDS settings from the environment, so that they do not reach the demo's programs."""
    for name in [name for name in os.environ if name.startswith(("TDS_", "ZOHO_"))]:
        del os.environ[name]


def _spelled(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
