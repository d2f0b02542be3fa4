"""Authentication and what depends on it: operators, API keys, sessions, rate limits, idempotency, the action log."""
