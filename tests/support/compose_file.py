"""Reads docker-compose.yml as Docker Compose does: anchors merged, `${...}` replaced, settings taken from an .env."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.house.code import ROOT

#: What has to stand in .env.
NEEDED = {
    "POSTGRES_PASSWORD": "pgSecret1", "POSTGRES_APP_PASSWORD": "appSecret1", "REDIS_PASSWORD": "redisSecret1",
    "TDS_SECRET_KEY": "A" * 43 + "=",
}  # fmt: skip
PROGRAMS = ("api", "worker", "dispatcher", "beat", "flower")
BACKUP = ("backup",)
OWN = ("migrate", *PROGRAMS, *BACKUP)
CORE = ("postgres", "redis", "migrate", "api", "worker", "dispatcher", "beat")
SEEING = ("flower", "prometheus", "alertmanager", "grafana")
TLS = ("proxy",)
#: Settings with more rights than a running TDS needs, so only the container that ends before it starts has them.
OF_MIGRATION = {"TDS_MIGRATION_DATABASE_URL", "TDS_READER_PASSWORD"}
#: A role that may copy the whole server; only the container that does has it.
OF_BACKUPS = {"TDS_BACKUP_URL"}
_OPENING = re.compile(r"\$\$|\$\{(\w+)(?:(:-|:\?)|\})")


class MissingVariableError(Exception):
    """A variable the file insists on is not in .env."""


def compose() -> dict[str, Any]:
    """The file, with its anchors merged."""
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def service(name: str) -> dict[str, Any]:
    """One service of the file."""
    return dict(compose()["services"][name])


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """Replace `$$`, `${NAME}`, `${NAME:-default}` and `${NAME:?message}`, also inside one another."""
    opening = _OPENING.search(text)
    if opening is None:
        return text
    before, name, operator = text[: opening.start()], opening[1], opening[2]
    if name is None:
        return before + "$" + interpolated(text[opening.end() :], environ)
    end = opening.end() if operator is None else _closing(text, opening.end())
    value = environ.get(name, "")
    if not value and operator == ":?":
        raise MissingVariableError(name)
    if not value and operator == ":-":
        value = interpolated(text[opening.end() : end - 1], environ)
    return before + value + interpolated(text[end:], environ)


def _closing(text: str, start: int) -> int:
    """The place behind the brace that ends what begins at `start`."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return place + 1
    raise ValueError(f"a brace is not closed: {text}")


def environment_of(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment a container gets: a name without a value is taken from .env, and left out where .env has none."""
    found: dict[str, str | None] = service(name)["environment"]
    values = {key: environ.get(key) if value is None else interpolated(value, environ) for key, value in found.items()}
    return {key: value for key, value in values.items() if value is not None}


def seconds(duration: str) -> int:
    """Seconds of a duration such as 30s."""
    return int(duration.removesuffix("s"))


def mebibytes(amount: str) -> int:
    """Mebibytes of an amount of memory such as 512m or 2g."""
    return int(amount[:-1]) * {"m": 1, "g": 1024}[amount[-1]]
