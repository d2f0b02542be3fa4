"""Webhooks and workflow rules as clients set them up through the API: what the organisation tells, and to whom."""
