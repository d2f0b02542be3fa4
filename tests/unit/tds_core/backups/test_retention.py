"""Retention of backups: every moment to be kept stays restorable, and chains go whole."""

from datetime import timedelta

from tds_core.backups.retention import expired, missing_segment, needed_segments
from tests.unit.tds_core.backups.test_catalog import T0, WEEK, entry


def names(day: float) -> list[str]:
    return [each.name for each in expired(WEEK, keep_since=T0 + timedelta(days=day))]


def test_a_chain_goes_when_a_later_one_reaches_back_far_enough() -> None:
    assert names(6.9) == []
    assert names(7) == ["a", "b", "c"]


def test_the_newest_chain_stays_however_old_it_is() -> None:
    assert names(400) == ["a", "b", "c"]


def test_of_the_log_all_is_needed_from_where_the_oldest_backup_begins() -> None:
    kept = [entry("d", 7, segment=9), entry("e", 8, parent="d", segment=12), entry("f", 9, wal="7-2", segment=3)]
    assert needed_segments(kept) == {"7-1": "000000010000000000000009", "7-2": "000000010000000000000003"}


def test_a_gap_in_the_log_is_found_also_where_the_middle_of_the_name_changes() -> None:
    whole = ["0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000000"]
    assert missing_segment(whole, whole[0]) is None
    assert missing_segment([whole[0], whole[2]], whole[0]) == whole[1]
    assert missing_segment(whole[1:], whole[0]) == whole[0]
    assert missing_segment([], whole[0]) is None
