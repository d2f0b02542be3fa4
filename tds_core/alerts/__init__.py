"""Alerts: rules are measured, alerts change state, and channels get a message of each change that matters."""
