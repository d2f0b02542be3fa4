"""Zoho Books and Zoho Inventory as a source: its webhooks, its login and its API."""
