"""The inbox of the API: webhooks of many requests stored in one transaction."""
