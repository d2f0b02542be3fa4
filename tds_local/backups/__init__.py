"""Backups of a PostgreSQL by its own programs: taken, archived between, restored, and drilled."""
