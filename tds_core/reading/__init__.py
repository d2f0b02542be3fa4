"""Reads for people and programs: what is in the tables, page by page, never a decision."""
