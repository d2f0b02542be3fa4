"""The laboratory: the demo, the chaos run, and the comparison with the Zoho stand-in."""
