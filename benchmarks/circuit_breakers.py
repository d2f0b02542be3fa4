"""How fast an open breaker refuses, and what a closed one costs a call, with Redis and without it."""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import structlog

from tds_core.breakers.registry import Breakers, open_breakers
from tds_core.config.settings import load_settings
from tds_core.errors import BreakerOpenError, TransientError
from tds_local.embedded import EmbeddedRedis

CALLS = 10_000
NAME = "zoho.books.contacts"


def measure(calls: int = CALLS) -> dict[str, Any]:
    """Microseconds of `calls` calls each, one after the other; what the call itself does is nothing."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    home = Path(tempfile.mkdtemp(prefix="tds-bench-"))
    home.chmod(0o755)
    figures: dict[str, Any] = {"calls": calls}
    try:
        with EmbeddedRedis(home, durable=False) as server:
            shared = open_breakers(load_settings({"TDS_REDIS_URL": server.url}))
            figures |= _figures("closed_shared", lambda: _call(shared), calls)
            figures |= _opened(shared, "refused_shared", calls)
            # As if nothing were known here, so that Redis is asked for every refusal.
            figures |= _figures("refused_asking_redis", lambda: _refused_unknowing(shared), calls)
        figures |= _figures("refused_redis_away", lambda: _call(shared), calls)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return figures


def _opened(breakers: Breakers, name: str, calls: int) -> dict[str, float]:
    for _ in range(10):
        _call(breakers, TransientError("down"))
    return _figures(name, lambda: _call(breakers), calls)


def _call(breakers: Breakers, error: Exception | None = None) -> None:
    with suppress(BreakerOpenError, TransientError), breakers.guard(NAME):
        if error:
            raise error


def _refused_unknowing(breakers: Breakers) -> None:
    breakers.breaker(NAME).invalidate()
    _call(breakers)


def _figures(name: str, call: Callable[[], None], calls: int) -> Mapping[str, float]:
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1e6)
    return {f"{name}_median_us": round(median(took), 1), f"{name}_p99_us": round(quantiles(took, n=100)[98], 1)}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    as_json = parser.parse_args().json
    figures = measure()
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:32} {value:>10}")


if __name__ == "__main__":
    main()
