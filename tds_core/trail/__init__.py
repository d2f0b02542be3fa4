"""The trail: history that cannot be changed unseen. Sealed once a minute, proven on request."""
