"""Comparison with a Zoho stand-in at an address, for `tds verify --against`."""

import contextlib

import requests
from sqlalchemy import Connection

from tds_core.errors import TdsError
from tds_lab.comparison.mirror_comparison import Comparison, compare
from tds_lab.zoho_stand_in import StandIn


class StandInAwayError(TdsError):
    """No stand-in answers at the address."""

    code = "stand_in_unreachable"


def compare_with_stand_in(connection: Connection, url: str) -> Comparison:
    """Compare every record of the mirror with the stand-in at `url`. Raises StandInAwayError."""
    try:
        with contextlib.closing(StandIn(url.rstrip("/"))) as stand_in:
            return compare(connection, stand_in)
    except (requests.RequestException, ValueError) as error:
        raise StandInAwayError(
            f"No stand-in's controls answer at {url}: {type(error).__name__}. Start one: tds sandbox --port 8100"
        ) from None
