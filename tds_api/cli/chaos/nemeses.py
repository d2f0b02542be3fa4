"""Every nemesis there is, one line each: its name and what it meets. Of one kind, one is at work at a time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import typer

from tds_api.cli.chaos import killing, outside, storing
from tds_api.cli.chaos.arena import Arena

#: Begins its mischief, yields how long it lasts in seconds, and ends it when it is taken up again.
Act = Callable[[Arena], Iterator[float]]


@dataclass(frozen=True, slots=True)
class Nemesis:
    """Something that goes wrong, and what it goes wrong with."""

    meets: str
    act: Act


NEMESES: Mapping[str, Nemesis] = {
    "kill-child": Nemesis("children", killing.kill_child),
    "kill-worker": Nemesis("workers", killing.kill_worker),
    "freeze-worker": Nemesis("frozen", killing.freeze_worker),
    "kill-dispatcher": Nemesis("dispatcher", killing.kill_dispatcher),
    "kill-api": Nemesis("api", killing.kill_api),
    "kill-beat": Nemesis("beat", killing.kill_beat),
    "redis-wiped": Nemesis("redis", storing.wipe_redis),
    "redis-stopped": Nemesis("redis", storing.stop_redis),
    "redis-killed": Nemesis("redis", storing.kill_redis),
    "redis-frozen": Nemesis("redis", storing.freeze_redis),
    "redis-read-only": Nemesis("redis", storing.make_redis_read_only),
    "redis-full": Nemesis("redis", storing.fill_redis),
    "postgres-restarted": Nemesis("postgres", storing.restart_postgres),
    "postgres-crashed": Nemesis("postgres", storing.crash_postgres),
    "postgres-hangs-up": Nemesis("postgres", storing.cut_connections),
    "zoho-429": Nemesis("zoho", outside.refuse_for_rate),
    "zoho-500": Nemesis("zoho", outside.outage("error_500")),
    "zoho-html": Nemesis("zoho", outside.outage("html")),
    "zoho-truncated": Nemesis("zoho", outside.outage("truncated")),
    "zoho-reset": Nemesis("zoho", outside.outage("reset")),
    "zoho-hanging": Nemesis("zoho", outside.outage("hanging")),
    "zoho-slow": Nemesis("zoho", outside.slow_down),
    "zoho-token-revoked": Nemesis("zoho", outside.revoke_tokens),
    "webhooks-dropped": Nemesis("webhooks", outside.drop_webhooks),
    "webhooks-stirred": Nemesis("webhooks", outside.stir_webhooks),
}


def chosen(only: str, skip: str) -> list[str]:
    """The names in `only` (all, if empty) without those in `skip`. Raises `typer.BadParameter` for unknown ones."""
    wanted, unwanted = _names(only), _names(skip)
    for name in (*wanted, *unwanted):
        if name not in NEMESES:
            raise typer.BadParameter(f"no nemesis {name!r}; there are {', '.join(NEMESES)}")
    return [name for name in wanted or NEMESES if name not in unwanted]


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]
