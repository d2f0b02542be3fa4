"""Zoho's webhooks: signature, body, envelope and parser."""
