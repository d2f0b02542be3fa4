"""Workflow webhooks as Zoho sends them: one rule per module and event, signed, best effort, capped by day."""
