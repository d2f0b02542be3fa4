"""Webhook coverage: which changes of the source were announced by webhook, and which only polling found."""
