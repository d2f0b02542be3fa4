"""Comparison of the mirror with the Zoho stand-in, record by record."""
