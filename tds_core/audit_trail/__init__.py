"""Tamper-evident history: the audit trail is sealed in a hash chain and verified on request."""
