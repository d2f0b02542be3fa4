"""One call on its way through the quota: who wants it, and what the ledger that counts calls say to it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec

from tds_core.sources.traffic import Traffic
from tds_core.sources.zoho.quota.told import Told


class Verdict(StrEnum):
    """What the ledger says to a call."""

    GO = "go"
    WAIT = "wait"  # its turn comes within its patience
    RATE = "rate"  # not soon: this minute, or the calls at once
    DAY = "day"  # not today


@dataclass(frozen=True, slots=True)
class Call:
    """A call that wants to be made. It keeps its id, and with it its place, while it waits."""

    id: str
    api: str
    traffic: Traffic


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger says: the verdict, why, in how many seconds to ask again, and which day of theirs it is."""

    verdict: Verdict
    wait_seconds: float = 0.0
    why: str = ""
    born: str = ""
    day: int = 0
    day_used: int = 0


class Ledger(Protocol):
    """The ledger that counts calls: those all processes share, or one process's own."""

    def admit(self, call: Call, *, wait_seconds: float) -> Reply:
        """Count `call` if it may be made now. `wait_seconds`: how long it is ready to wait."""
        ...

    def answer(self, call: Call, day: int, told: Told) -> None:
        """The call is over; `day` is the day of its admission."""
        ...
