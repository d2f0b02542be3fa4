"""The command line of TDS: `tds`."""

from tds_api.cli.app import main

__all__ = ["main"]
