"""The pure parts of alerts."""
