"""Nemeses outside: Zoho's API refuses, breaks off, hangs or says nonsense, and its webhooks come as they should not."""

from collections.abc import Callable, Iterator

from tds_lab.chaos.context import ChaosContext
from tds_lab.zoho_stand_in import FAULTS

OUTAGE_SECONDS = 4.0


def outage(kind: str) -> Callable[[ChaosContext], Iterator[float]]:
    """Every call fails in this way, the accounts server's too."""

    def nemesis(context: ChaosContext) -> Iterator[float]:
        context.environment.stand_in.begin_outage(kind, OUTAGE_SECONDS)
        context.counts["zoho_outages"] += 1
        yield OUTAGE_SECONDS

    return nemesis


def refuse_for_rate(context: ChaosContext) -> Iterator[float]:
    """Zoho answers 429: too many calls in this minute."""
    yield from _faulty_calls(context, {"rate_minute": 0.1})


def slow_down(context: ChaosContext) -> Iterator[float]:
    """Half of the answers take two seconds, or come in drops."""
    yield from _faulty_calls(context, {"delay": 0.3, "slow_body": 0.2})


def revoke_tokens(context: ChaosContext) -> Iterator[float]:
    """The access token ends before its time."""
    context.environment.stand_in.revoke_tokens()
    context.counts["zoho_outages"] += 1
    yield 0.0


def drop_webhooks(context: ChaosContext) -> Iterator[float]:
    """Half of the webhooks are never sent."""
    yield from _faulty_webhooks(context, {"drop": 0.5})


def stir_webhooks(context: ChaosContext) -> Iterator[float]:
    """Webhooks come twice, late, out of order, outdated and forged."""
    often = {"duplicate": 0.4, "reorder": 0.4, "stale": 0.2, "delay_seconds": [0.0, 3.0]}
    yield from _faulty_webhooks(context, {**often, "forge": 0.2, "forge_gap_seconds": 0.0})


def _faulty_calls(context: ChaosContext, chances: dict[str, float]) -> Iterator[float]:
    context.environment.stand_in.set_faults({"api": chances, "api_seconds": 2.0})
    context.counts["zoho_outages"] += 1
    yield OUTAGE_SECONDS
    context.environment.stand_in.set_faults({"api": {}})


def _faulty_webhooks(context: ChaosContext, faults: dict[str, object]) -> Iterator[float]:
    context.environment.stand_in.set_faults(faults)
    context.counts["webhook_storms"] += 1
    yield OUTAGE_SECONDS
    context.environment.stand_in.set_faults({**FAULTS, "drop": 0.0})
