"""The systems TDS reads from, each in a folder of its own."""
