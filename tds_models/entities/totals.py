"""Totals: what the lines and the sums of a document should come to, and where the source states it otherwise."""

from dataclasses import dataclass

from tds_models.findings import Severity


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

    `more` and `less`: keys of the source's record with amounts that are added and subtracted where it has them. `tax`:
    the part that is none where the record's rates include tax. `unless`: keys of amounts and marks of which the source
    does not say what they do to the total; a record with one of them is not judged.
    """

    parts: tuple[str, ...]
    total: str
    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    tax: str | None = None
    unless: tuple[str, ...] = ()
    severity: Severity = Severity.WARNING
