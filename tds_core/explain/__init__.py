"""Explanation of one record: its timeline and its diagnosis."""
