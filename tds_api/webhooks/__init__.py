"""Webhooks: one endpoint, one group commit, and what is refused."""
