"""HOW things are done: takes a session, never commits."""
