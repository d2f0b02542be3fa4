"""Backups: the catalogue of a directory, which of them a moment is restored from, and how long they are kept."""
