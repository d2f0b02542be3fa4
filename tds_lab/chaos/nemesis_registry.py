"""The registry of nemeses: name, target and function; at most one of a target is active at a time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import typer

from tds_lab.chaos import nemeses_datastores, nemeses_processes, nemeses_zoho
from tds_lab.chaos.context import ChaosContext

#: Begins a fault, yields its duration in seconds, and ends it when resumed.
Fault = Callable[[ChaosContext], Iterator[float]]


@dataclass(frozen=True, slots=True)
class Nemesis:
    """A kind of fault, and its target."""

    target: str
    fault: Fault


NEMESES: Mapping[str, Nemesis] = {
    "kill-child": Nemesis("children", nemeses_processes.kill_child),
    "kill-worker": Nemesis("workers", nemeses_processes.kill_worker),
    "freeze-worker": Nemesis("frozen", nemeses_processes.freeze_worker),
    "kill-dispatcher": Nemesis("dispatcher", nemeses_processes.kill_dispatcher),
    "kill-api": Nemesis("api", nemeses_processes.kill_api),
    "kill-beat": Nemesis("beat", nemeses_processes.kill_beat),
    "redis-wiped": Nemesis("redis", nemeses_datastores.wipe_redis),
    "redis-stopped": Nemesis("redis", nemeses_datastores.stop_redis),
    "redis-killed": Nemesis("redis", nemeses_datastores.kill_redis),
    "redis-frozen": Nemesis("redis", nemeses_datastores.freeze_redis),
    "redis-read-only": Nemesis("redis", nemeses_datastores.make_redis_read_only),
    "redis-full": Nemesis("redis", nemeses_datastores.fill_redis),
    "postgres-restarted": Nemesis("postgres", nemeses_datastores.restart_postgres),
    "postgres-crashed": Nemesis("postgres", nemeses_datastores.crash_postgres),
    "postgres-hangs-up": Nemesis("postgres", nemeses_datastores.cut_connections),
    "zoho-429": Nemesis("zoho", nemeses_zoho.refuse_for_rate),
    "zoho-500": Nemesis("zoho", nemeses_zoho.outage("error_500")),
    "zoho-html": Nemesis("zoho", nemeses_zoho.outage("html")),
    "zoho-truncated": Nemesis("zoho", nemeses_zoho.outage("truncated")),
    "zoho-reset": Nemesis("zoho", nemeses_zoho.outage("reset")),
    "zoho-hanging": Nemesis("zoho", nemeses_zoho.outage("hanging")),
    "zoho-slow": Nemesis("zoho", nemeses_zoho.slow_down),
    "zoho-token-revoked": Nemesis("zoho", nemeses_zoho.revoke_tokens),
    "webhooks-dropped": Nemesis("webhooks", nemeses_zoho.drop_webhooks),
    "webhooks-stirred": Nemesis("webhooks", nemeses_zoho.stir_webhooks),
}


def selected_nemeses(only: str, skip: str) -> list[str]:
    """The names in `only` (all, if empty) without those in `skip`. Raises `typer.BadParameter` for unknown ones."""
    included, excluded = _names(only), _names(skip)
    for name in (*included, *excluded):
        if name not in NEMESES:
            raise typer.BadParameter(f"no nemesis {name!r}; there are {', '.join(NEMESES)}")
    return [name for name in included or NEMESES if name not in excluded]


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]
