"""Invariants of the tables: `tds verify` checks them, `tds repair` restores them."""
