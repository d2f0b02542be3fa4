"""Inside a Celery worker: its consumer, leases, status reports and metrics."""
