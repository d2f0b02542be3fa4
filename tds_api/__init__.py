"""WHO may ask: HTTP and command line."""
