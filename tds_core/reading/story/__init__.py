"""The story of a record: everything TDS knows of it in one line of time, and what that comes to."""
