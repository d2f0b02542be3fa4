"""The quota governor: one budget of calls for all processes, with reserved shares for what is urgent."""
