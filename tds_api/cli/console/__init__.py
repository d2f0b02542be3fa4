"""What all commands share: output, the database, a TDS elsewhere, and the log of what was done."""
