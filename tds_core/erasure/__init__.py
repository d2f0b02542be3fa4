"""Erasure: removes one person's values from rows, history, events and logs, and seals a note that says so."""
