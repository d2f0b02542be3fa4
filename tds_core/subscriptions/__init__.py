"""Outgoing webhooks: change events are fanned out to subscriptions, delivered in order, and retried."""
