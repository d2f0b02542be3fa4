"""Logs, metrics, traces and the state of the process."""
