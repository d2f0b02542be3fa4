"""WHEN things happen: Celery tasks and the timetable."""
