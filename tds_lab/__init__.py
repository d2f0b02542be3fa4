"""The laboratory: demo, chaos run, and comparison with the Zoho stand-in."""
