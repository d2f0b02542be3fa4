"""The catalogue of alert rules, in one order."""

from tds_core.alerts.rule import Rule
from tds_core.alerts.rules import (
    backups,
    dead_letters,
    external,
    freshness,
    machine,
    processes,
    proof,
    queue,
    quota,
    runs,
    source,
    subscriptions_and_channels,
    webhooks,
    workers,
)
from tds_core.errors import NotFoundError

#: Every rule; those of what has to work at all come first.
RULES: tuple[Rule, ...] = (
    *processes.RULES, *workers.RULES, *source.RULES, *quota.RULES, *queue.RULES, *freshness.RULES, *runs.RULES,
    *dead_letters.RULES, *webhooks.RULES, *proof.RULES, *backups.RULES, *machine.RULES,
    *subscriptions_and_channels.RULES,
    *external.RULES,
)  # fmt: skip

_BY_NAME = {rule.name: rule for rule in RULES}


def rule_of(name: str) -> Rule:
    """The rule called `name`. Raises NotFoundError."""
    rule = _BY_NAME.get(name)
    if rule is None:
        raise NotFoundError(f"No alert rule is called {name[:80]!r}; see: tds alerts rules")
    return rule
