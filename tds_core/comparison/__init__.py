"""Comparison of the mirror with its source: what is equal, what is not, why, and what would mend it."""
