"""Verifying: what the tables tell about the past, held against what TDS promises."""
