"""Totals: what the lines and the sums of a document should come to, and where the source states it otherwise."""

from dataclasses import dataclass

from tds_models.findings import Severity

#: Keys of Zoho's documents: whether rates include tax, the digits its amounts have, and a discount of the whole (its
#: kind, what was entered, and its amount).
INCLUSIVE, PRECISION = "is_inclusive_tax", "price_precision"
WHOLE_DISCOUNT, DISCOUNT, DISCOUNT_TOTAL = ("discount_type", "entity_level"), "discount", "discount_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTotal:
    """The sum of `part` over `lines` should be the field `total` of the document.

    `stated_as`: keys of the source's record with the same sum otherwise, such as with tax or without discount; the
    lines may come to one of those instead. `tax`: a field that is part of the sum as well where the record's rates
    include tax.
    """

    lines: str
    part: str
    total: str
    stated_as: tuple[str, ...] = ()
    tax: str | None = None
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTotal:
    """The sum of the fields `parts` should be the field `total`.

    A discount of the whole document is subtracted, or was already. `more`: keys of the source's record with amounts
    that are added where it has them. `tax`: the part that is none where the record's rates include tax. `unless`: keys
    of amounts and marks of which the source does not say what they do to the total; a record with one is not judged.
    """

    parts: tuple[str, ...]
    total: str
    more: tuple[str, ...] = ()
    tax: str | None = None
    unless: tuple[str, ...] = ()
    severity: Severity = Severity.WARNING
