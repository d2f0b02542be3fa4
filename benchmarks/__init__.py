"""What TDS reaches, measured beside the floor in one run."""
