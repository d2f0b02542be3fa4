"""Healing of workers: who is alive and does not consume is told to end, so that its supervisor starts another."""

from collections.abc import Mapping, Sequence
from typing import Any

from tds_core.healing import canaries, listeners
from tds_core.healing.care import Care
from tds_core.healing.deeds import Deed

WORKERS = "workers"


def end_deaf(care: Care) -> list[Deed]:
    """Judge every worker by what it tells and by its canaries; nobody is judged while `TDS_DEAF_SECONDS` is 0."""
    if not care.settings.deaf_seconds:
        return []
    with care.scope() as session:
        rows = listeners.listening(session)
        canaries.remove(session, listeners.retire(session, rows, care.dead))
        found = listeners.find_deaf(session, rows, patience_seconds=care.settings.deaf_seconds)
    return deaf_deeds(found)


def deaf_deeds(found: Sequence[Mapping[str, Any]]) -> list[Deed]:
    """What is written down of workers found deaf; since when is told by the last message they took up."""
    return [
        Deed(
            action=WORKERS,
            subject=row["name"],
            lasted_seconds=row["heard_seconds"],
            detail={"reason": row["deaf_reason"], "process": row["process"]},
        )
        for row in found
    ]
