"""The command `tds`: one module for each group of commands."""
