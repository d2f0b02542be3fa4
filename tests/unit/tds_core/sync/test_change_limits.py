"""The guard promises: counts alone decide what is too much, and what looks like a broken listing is never believed."""

import pytest

from tds_core.sync.change_limits import ChangeLimits, too_many_absences, too_many_changes, with_margin

LIMITS = ChangeLimits(percent=5, records=50)


@pytest.mark.parametrize(("living", "allowed"), [(0, 50), (45, 50), (1_000, 50), (2_221, 111), (100_000, 5_000)])
def test_the_limit_is_the_larger_of_a_share_and_a_number(living: int, allowed: int) -> None:
    assert LIMITS.of(living) == allowed
    assert too_many_changes(allowed, living=living, approved=0, limits=LIMITS) is None
    assert f"{allowed + 1:,}" in (too_many_changes(allowed + 1, living=living, approved=0, limits=LIMITS) or "")


def absences(absent: int, *, living: int, listed: int = 1, approved: int = 0) -> str | None:
    return too_many_absences(absent, living=living, listed=listed, approved=approved, limits=LIMITS)


def test_a_listing_that_left_nothing_out_is_never_held() -> None:
    assert absences(0, living=45, listed=0) is None


@pytest.mark.parametrize(("absent", "living", "held"), [
    (1, 2, False), (2, 5, True), (14, 45, False), (15, 45, True), (111, 2_221, False), (112, 2_221, True),
])  # fmt: skip
def test_more_than_the_limit_and_a_large_part_are_held(absent: int, living: int, held: bool) -> None:
    assert (absences(absent, living=living) is not None) is held


def test_an_empty_listing_is_held_for_a_single_record() -> None:
    assert "empty" in (absences(1, living=100, listed=0) or "")


def test_an_approval_reaches_as_far_again_and_no_further() -> None:
    approved = with_margin(60)
    assert too_many_changes(approved, living=100, approved=approved, limits=LIMITS) is None
    assert too_many_changes(approved + 1, living=100, approved=approved, limits=LIMITS) is not None
    assert absences(approved, living=130, approved=approved) is None
