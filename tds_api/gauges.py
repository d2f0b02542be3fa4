"""What Prometheus is told of the tables at every scrape: depth and age of the queue, and what waits for a person."""

from collections.abc import Iterator, Mapping

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tds_core import pulse
from tds_core.reading import work
from tds_core.timetable import jobs
from tds_models.db import session_scope

log = structlog.get_logger(__name__)

_SUMMARY = {
    "dead_letters": ("tds_dead_letters_open", "Work given up until a person decides."),
    "events_without_verdict": ("tds_events_without_verdict", "Accepted events whose record is still owed a sync."),
    "open_runs": ("tds_runs_open", "Runs queued or under way."),
}
_STATES = ("due", "waiting", "leased")


class TableGauges(Collector):
    """Reads the tables when it is asked; says tds_database_up 0 and nothing else while they cannot be read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as of now."""
        try:
            with session_scope(self._engine) as session:
                stats, figures = work.queue_stats(session), work.health_figures(session)
                silent, overdue = pulse.silent_seconds(session), jobs.overdue_seconds(session)
        except SQLAlchemyError as error:
            log.warning("gauges_unreadable", error=type(error).__name__)
            yield GaugeMetricFamily("tds_database_up", "Whether the database answered this scrape.", value=0)
            return
        yield GaugeMetricFamily("tds_database_up", "Whether the database answered this scrape.", value=1)
        depth = GaugeMetricFamily("tds_queue_depth", "Live work items.", labels=["entity", "state"])
        age = GaugeMetricFamily("tds_queue_oldest_due_seconds", "Age of the oldest due item.", labels=["entity"])
        for row in stats:
            for state in _STATES:
                depth.add_metric([row["entity"], state], row[f"{state}_count"])
            age.add_metric([row["entity"]], row["oldest_due_seconds"])
        yield depth
        yield age
        for name, (metric, meaning) in _SUMMARY.items():
            yield GaugeMetricFamily(metric, meaning, value=figures.get(name, 0))
        yield _by("tds_pulse_silent_seconds", "Since a process last showed that it makes progress.", "pulse", silent)
        yield _by("tds_schedule_overdue_seconds", "How long a slot is due that nobody took.", "job", overdue)


def _by(name: str, meaning: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for value in sorted(values):
        family.add_metric([value], values[value])
    return family
