"""Invariants of the tables: checked by `tds verify`, restored by `tds repair`."""
