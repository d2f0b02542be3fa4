"""Settings: every one declared once, read from the environment and from files."""
