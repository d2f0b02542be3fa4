"""Parts that all commands share: output, the database, a remote TDS, and the action log."""
