"""Celery on one page: broker, queues, routes, limits and the timetable."""
