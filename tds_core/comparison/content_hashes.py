"""Content hashes: one hash for what a list shows of a record, and the buckets and root of many of them.

A list row and its mirror row are hashed apart, and proven only with one hash. Of a record that a detail or its history
proved equal, the mirror's row is hashed; of one that differs, each side by itself. A bucket is a count and a sum, so
that a record that is missing, doubled or different changes it, in whatever order records come.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import blake2b, sha256
from typing import Any

import msgspec

from tds_core.records.compare import canonical
from tds_models.entities.declaration import Entity, Shows

HASH_BYTES = 16
_MODULUS = 1 << (8 * HASH_BYTES)
#: The number of buckets of an entity, and of one with more than MANY records.
BUCKETS, BUCKETS_OF_MANY, MANY = 256, 4096, 100_000

#: The count and the sum of each bucket.
Buckets = Sequence[tuple[int, int]]


def compared_names(entity: Entity) -> tuple[str, ...]:
    """The fields and lines whose values are hashed: what lists show; all of them where records are read in detail."""
    if reads_details(entity):
        return tuple(sorted((*(each.name for each in entity.fields), *(lines.name for lines in entity.lines))))
    return tuple(sorted(each.name for each in entity.fields if each.listed))


def reads_details(entity: Entity) -> bool:
    """Whether a list row does not show every change, so that each record is read in detail to be compared."""
    return entity.stream.list_shows is not Shows.ALL


def content_hash(entity: Entity, source_id: str, values: Mapping[str, Any]) -> bytes:
    """The hash of a record's compared values in one spelling; a value that is missing counts as nothing."""
    content = {name: value for name in compared_names(entity) if (value := _spelled(values.get(name))) is not None}
    digest = blake2b(f"{entity.name}\0{source_id}\0".encode(), digest_size=HASH_BYTES)
    digest.update(msgspec.json.encode(content, order="deterministic"))
    return digest.digest()


def have_same_content(entity: Entity, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a record with these values, or with those, has one content hash."""
    return all(_are_alike(one.get(name), other.get(name)) for name in compared_names(entity))


# Equal values of one of these types are spelled alike.
_SCALARS = frozenset({str, Decimal, bool, int, date, datetime})


def _are_alike(one: Any, other: Any) -> bool:
    if one is other or (type(one) in _SCALARS and type(one) is type(other) and one == other):
        return True
    return bool(_spelled(one) == _spelled(other))


def _spelled(value: Any) -> Any:
    spelled = canonical(value)
    return spelled.astimezone(UTC) if isinstance(spelled, datetime) else spelled


@dataclass(slots=True)
class BucketSums:
    """The buckets of one side of an entity, filled record by record."""

    counts: list[int]
    sums: list[int]

    @classmethod
    def of_size(cls, record_count: int) -> "BucketSums":
        """Empty buckets for about so many records."""
        size = BUCKETS_OF_MANY if record_count > MANY else BUCKETS
        return cls([0] * size, [0] * size)

    def add(self, records: Iterable[tuple[str, bytes | memoryview]]) -> None:
        """Add records, each as its id and its content hash."""
        counts, sums, size = self.counts, self.sums, len(self.counts)
        for source_id, content in records:
            place = bucket_of(source_id, size)
            counts[place] += 1
            sums[place] += int.from_bytes(content)
        self.sums = [total % _MODULUS for total in sums]

    def merge(self, other: "BucketSums") -> None:
        """Add the records of `other`, which has as many buckets."""
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        self.sums = [(ours + theirs) % _MODULUS for ours, theirs in zip(self.sums, other.sums, strict=True)]

    def root(self, entity: Entity) -> bytes:
        """The root of these buckets."""
        return root_of(entity.name, compared_names(entity), list(zip(self.counts, self.sums, strict=True)))

    def as_json(self) -> list[list[Any]]:
        """Count and sum (hexadecimal) of each bucket."""
        return [[count, f"{total:032x}"] for count, total in zip(self.counts, self.sums, strict=True)]


# To copy it is quicker than to make one.
_NO_BUCKET = blake2b(digest_size=4)


def bucket_of(source_id: str, size: int) -> int:
    """The bucket of a record among `size` buckets."""
    digest = _NO_BUCKET.copy()
    digest.update(source_id.encode())
    return int.from_bytes(digest.digest()) % size


def root_of(entity_name: str, names: Sequence[str], buckets: Buckets) -> bytes:
    """One digest for all records of an entity; the names of the compared fields are part of it."""
    digest = sha256(msgspec.json.encode([entity_name, list(names), len(buckets)]))
    for count, total in buckets:
        digest.update(count.to_bytes(8) + total.to_bytes(HASH_BYTES))
    return digest.digest()
