"""A whole TDS on one machine: a supervisor of its programs, embedded PostgreSQL and Redis."""
