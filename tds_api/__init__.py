"""WHO may ask: HTTP, command line and dashboard."""
