"""Authentication: operators, API keys, sessions, rate limits, idempotency, the action log."""
