"""The HTML pages: their frame, the log-in, and the connection to Zoho."""
