"""Reads of the mirror: rows, rows as of a moment, comparison with the live source, entity status."""
