"""Check of Celery's broker, where that is another than Redis alone: reachable, with the login it asks for."""

from collections.abc import Iterator

from kombu import Connection

from tds_api.cli.doctor_checks.result import CheckResult, place, well, wrong
from tds_core.config.settings import Settings
from tds_tasks.broker import broker_of

_SECONDS = 5


def broker(settings: Settings) -> Iterator[CheckResult]:
    """Whether the broker takes connections; nothing where it is the Redis of TDS_REDIS_URL."""
    if not settings.broker_url or settings.broker_url == settings.redis_url:
        return
    where, chosen = place(settings, "TDS_BROKER_URL"), broker_of(settings.broker_url)
    options = {**chosen.transport_options, **chosen.publisher_options}
    connection = Connection(chosen.url, connect_timeout=_SECONDS, transport_options=options)
    try:
        connection.ensure_connection(max_retries=1, timeout=_SECONDS, reraise_as_library_errors=False)
        yield well("Broker", f"{where}, {connection.transport.driver_name}")
    except (OSError, *connection.connection_errors, *connection.channel_errors) as error:
        says = str(error).partition(" : ")[0]  # behind it a Sentinel's client tells its insides
        yield wrong("Broker", f"{where}: {says}", "Start it, or correct TDS_BROKER_URL: see docs/scaling.md")
    finally:
        connection.release()
