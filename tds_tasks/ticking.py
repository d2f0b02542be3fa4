"""Beat's sense of time: it ticks on when the broker is away, and says so once."""

from typing import Any

from celery.beat import PersistentScheduler, SchedulingError

from tds_core.outages import broker


class PatientScheduler(PersistentScheduler):
    """Celery's scheduler, which would tell with a traceback of every tick it cannot send."""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send what is due. A tick that cannot be sent is not missed: the next one looks for all that is due."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            broker.begin(error=type(error.__context__).__name__)
        else:
            broker.end()

    def _ensure_connected(self) -> Any:
        def tell(error: Exception, _pause: float) -> None:
            broker.begin(error=type(error).__name__)

        return self.connection.ensure_connection(tell, self.app.conf.broker_connection_max_retries)
