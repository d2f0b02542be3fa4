"""Alerts on a real PostgreSQL."""
