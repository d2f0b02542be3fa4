"""Authentication and authorisation of requests: keys, sessions, permissions, idempotency, the action log."""
