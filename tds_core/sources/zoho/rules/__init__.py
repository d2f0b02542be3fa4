"""Webhooks and workflow rules in Zoho, set up by command: what should be there, what is, and the way between."""
