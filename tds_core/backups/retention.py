"""Retention: whole chains of backups are removed once a later one reaches back as far as is asked for."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from tds_core.backups.catalog import FULL, BackupEntry


def expired(all_entries: Sequence[BackupEntry], *, keep_since: datetime) -> list[BackupEntry]:
    """The backups, the oldest first, without which every moment since `keep_since` can be restored all the same.

    A chain goes as a whole, and the newest one never does.
    """
    fulls = [each for each in all_entries if each.kind == FULL]
    older = [each for each in fulls if each.ended_at <= keep_since]
    if not older:
        return []
    return [each for each in all_entries if each.ended_at < older[-1].ended_at]


def needed_segments(kept: Sequence[BackupEntry]) -> Mapping[str, str]:
    """By folder of write-ahead log, the first segment that a backup which is kept needs."""
    needed: dict[str, str] = {}
    for entry in kept:
        needed[entry.wal] = min(entry.first_segment, needed.get(entry.wal, entry.first_segment))
    return needed


def missing_segment(names: Sequence[str], first: str, *, segments_per_file: int = 256) -> str | None:
    """The first segment that is missing from `names` of one timeline, counted from `first` to the newest; None: none.

    `segments_per_file`: so many segments share the middle part of a name, which for segments of 16 MB is 256.
    """
    numbers = {_number(name, segments_per_file) for name in names if name[:8] == first[:8]}
    begins = _number(first, segments_per_file)
    later = [number for number in numbers if number >= begins]
    for number in range(begins, max(later, default=begins)):
        if number not in numbers:
            return f"{first[:8]}{number // segments_per_file:08X}{number % segments_per_file:08X}"
    return None


def _number(name: str, segments_per_file: int) -> int:
    return int(name[8:16], 16) * segments_per_file + int(name[16:24], 16)
