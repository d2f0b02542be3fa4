"""A run knows what the pages hold that it has compared and not yet written."""

from tds_tasks.runs import UncommittedHashes


def page(number: int, *ids: str) -> dict[str, bytes]:
    """A page whose rows are all as they were at that time."""
    return dict.fromkeys(ids, b"page %d" % number)


def test_the_last_pages_are_known_and_older_ones_forgotten() -> None:
    hashes = UncommittedHashes(3)
    for number in range(6):
        hashes.add(page(number, f"own {number}", "everywhere"))
    assert hashes.by_id == {
        "own 3": b"page 3", "own 4": b"page 4", "own 5": b"page 5", "everywhere": b"page 5",
    }  # fmt: skip


def test_a_record_that_a_later_page_shows_is_known_until_that_one_is_forgotten() -> None:
    hashes = UncommittedHashes(2)
    for number, ids in enumerate((["a"], ["a"], ["b"])):
        hashes.add(page(number, *ids))
    assert hashes.by_id == {"a": b"page 1", "b": b"page 2"}
    hashes.add(page(3, "c"))
    assert hashes.by_id == {"b": b"page 2", "c": b"page 3"}
