"""Celery on one page: broker, queues, routes, limits and the timetable.

A message is only a nudge ("go and look at products"): it may be lost, doubled or wiped, because rows carry the work.
So messages are acknowledged early, expire soon and have no result; what waits, waits in PostgreSQL.
"""

from kombu import Queue

from tds_core.config.settings import load_settings
from tds_models.entities import ENTITIES
from tds_tasks.broker import broker_of

_broker = broker_of(load_settings().broker_url or "redis://127.0.0.1:6379/0")
broker_url = _broker.url
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # for ever: a worker outlives any outage of the broker
broker_channel_error_retry = True  # a Redis that answers and takes no write (full, a replica) ends no worker either
broker_pool_limit = 10
broker_transport_options = dict(_broker.transport_options)
broker_heartbeat = 10  # of RabbitMQ: a half-open connection is noticed in twenty seconds
visibility_timeout = 600

# Direct queues only: a topic exchange loses messages without an error once Redis was wiped.
QUEUES = ("upkeep", "high", "normal", "low", "bulk")
task_queues = [
    Queue(f"tds.{name}", routing_key=f"tds.{name}", queue_arguments=dict(_broker.queue_arguments)) for name in QUEUES
]
task_default_queue = "tds.upkeep"
task_default_exchange_type = "direct"
task_create_missing_queues = False

QUEUE_OF_PRIORITY = {2: "tds.high", 5: "tds.normal", 8: "tds.low"}
task_routes = {
    **{f"tds.sync.{entity.name}": {"queue": QUEUE_OF_PRIORITY[entity.priority]} for entity in ENTITIES.values()},
    "tds.run.advance": {"queue": "tds.bulk"},
    "tds.outbound.deliver": {"queue": "tds.low"},
    "tds.validation.advance": {"queue": "tds.bulk"},
    "tds.timetable.tick": {"queue": "tds.upkeep"},
}

task_serializer = "json"
accept_content = ["json"]
result_backend = None
task_ignore_result = True
task_acks_late = False
task_publish_retry = False
task_soft_time_limit = 120
task_time_limit = 150

worker_consumer = "tds_tasks.worker.celery_consumer:ReconnectingConsumer"
worker_prefetch_multiplier = 1
worker_max_tasks_per_child = 5000
worker_max_memory_per_child = 400_000  # kB
worker_proc_alive_timeout = 20
worker_soft_shutdown_timeout = 10
worker_enable_soft_shutdown_on_idle = False
worker_send_task_events = True
task_send_sent_event = False
worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_cancel_long_running_tasks_on_connection_loss = False

enable_utc = True
timezone = "UTC"

# Beat only ticks; which slots are due is decided from rows, so any number of Beats is safe.
beat_scheduler = "tds_tasks.app:ReconnectingScheduler"
beat_max_loop_interval = 5
beat_sync_every = 1
beat_schedule = {
    "timetable": {"task": "tds.timetable.tick", "schedule": 5.0, "options": {"expires": 30, "ignore_result": True}},
}

# The timetable TDS starts with; `tds_scheduled_jobs` holds the one in force, settable while TDS runs.
# name: (when: five cron fields in UTC, or `local` behind them, or every:SECONDS; job; arguments; missed slots)
# Daily work keeps to the installation's own night: `local` is TDS_TIME_ZONE.
TIMETABLE = {
    "full-sync": ("0 2 * * * local", "runs", {"mode": "full"}, "once"),
    "incremental-sync": ("0 * * * *", "runs", {"mode": "incremental"}, "once"),
    "stock-sync": ("*/15 * * * *", "runs", {"mode": "incremental", "entities": ["stock_level"]}, "skip"),
    "auto-healing": ("every:300", "heal", {}, "skip"),
    "lease-rescue": ("every:60", "rescue", {}, "skip"),
    "queue-health": ("every:60", "measure", {}, "skip"),
    "statistics": ("5 * * * *", "statistics", {}, "once"),
    "webhook-coverage": ("every:60", "webhook_coverage", {}, "skip"),
    "audit-seal": ("every:60", "seal", {}, "skip"),
    "audit-verification": ("every:30", "verify_history", {}, "skip"),
    "comparison": ("0 3 * * * local", "compare", {"sample": 20}, "once"),
    "retention": ("30 3 * * * local", "retention", {}, "once"),
}
