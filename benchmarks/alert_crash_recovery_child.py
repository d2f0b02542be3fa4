"""An alert loop in a process of its own whose rule measures a table; `alert_crash_recovery` kills it."""

import signal
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta

from tds_core.alerts import deliveries
from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules import RULES
from tds_core.breakers.registry import open_breakers
from tds_core.config.settings import load_settings
from tds_core.observability.logging import configure_logging
from tds_models.alerts import AlertSeverity
from tds_models.db import make_engine
from tds_tasks.alert_loop import AlertLoop

KEEP_SECONDS = 2


def conditions(facts: AlertFacts) -> Iterator[RuleValue]:
    """1 for each subject that is on."""
    for row in facts.rows("select subject from bench_conditions order by subject"):
        yield RuleValue(value=1.0, says=f"{row['subject']} is on", subject=row["subject"])


#: Critical, so that no alert waits for others of its rule.
RULE = Rule(
    name="scripted", title="Scripted", severity=AlertSeverity.CRITICAL, measure=conditions, threshold=0.5, unit="state",
    cause="a script", automatic="nothing", command="tds alerts list", keep_seconds=KEEP_SECONDS,
)  # fmt: skip


def main() -> None:
    """Take part until killed. Arguments: seconds between evaluations, those of a lease, perhaps `catalogue`."""
    every_seconds, lease_seconds = map(float, sys.argv[1:3])
    rules = RULES if sys.argv[3:] == ["catalogue"] else [RULE]
    settings = load_settings()
    configure_logging(settings, process="alert-loop")
    deliveries.LEASE = timedelta(seconds=lease_seconds)
    engine = make_engine(settings.database_url, pool_size=4, application="tds-alerts", timeouts=settings.timeouts)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    loop = AlertLoop(settings, engine, open_breakers(settings), is_first=True, rules=rules, every_seconds=every_seconds)
    loop.run(stop)


if __name__ == "__main__":
    main()
