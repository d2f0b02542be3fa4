"""Other spellings of the same: nothing as an empty text, null, blanks or no key; times in other zones; 10.0 as 10."""

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.support.standin import StandIn

NOTHING = ("", None)
#: Read by the stand-in or by the list's own order, not by the mirror alone.
KEPT = frozenset({"contact_type"})
ZONES = (0, 3, -8, 5.5)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}")


def respelled(record: dict[str, Any], jitter: random.Random) -> dict[str, Any]:
    """The same record, spelled otherwise."""
    return {
        key: _value(value, jitter)
        for key, value in record.items()
        if key in KEPT or value not in NOTHING or isinstance(value, (int, float)) or jitter.random() < 0.7
    }


def _value(value: Any, jitter: random.Random) -> Any:
    if isinstance(value, dict):
        return {key: _value(each, jitter) for key, each in value.items()}
    if isinstance(value, list):
        return [_value(each, jitter) for each in value]
    if value is None or value == "":
        return jitter.choice(("", None, " "))
    if isinstance(value, bool) or not isinstance(value, (str, float, int)):
        return value
    if isinstance(value, str):
        return _moment(value, jitter)
    return int(value) if value == int(value) and jitter.random() < 0.5 else value


def _moment(value: str, jitter: random.Random) -> str:
    if not MOMENT.fullmatch(value):
        return value
    zone = timezone(timedelta(hours=jitter.choice(ZONES)))
    return datetime.fromisoformat(value).astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S%z")


def respell(standin: StandIn, modules: Iterable[str], seed: int) -> None:
    """Let both doors of these modules spell the same otherwise from now on, each its own way."""
    jitter = random.Random(seed)

    def otherwise(render: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        return lambda record: respelled(render(record), jitter)

    for module in modules:
        collection = standin.sandbox.world.collections[module]
        plain = collection.shape
        collection.shape = replace(
            plain, render_row=otherwise(plain.render_row), render_detail=otherwise(plain.render_detail)
        )
        for record in collection.records.values():
            record.row = record.detail = None
