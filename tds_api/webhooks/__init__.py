"""Webhooks: the endpoint, and what happens to those that are refused."""
