"""The inbox: webhooks deduplicated and stored, rejected deliveries, replay."""
