"""Rules: what validation looks for, how grave each violation is, and the next step for it."""

from dataclasses import dataclass
from enum import StrEnum

from tds_core.config.settings import Settings
from tds_models.entities.declaration import Entity
from tds_models.findings import Severity


class Rule(StrEnum):
    """What a record can break, the worst first."""

    DEAD_LETTER = "dead_letter"  # it was refused, so the mirror lacks it, or holds an older version
    CHECKSUM = "checksum"  # the row differs from what its history comes to
    PARENT = "parent"  # lines without the record they belong to
    TYPE = "type"  # a value that could not be read, and is missing
    REQUIRED = "required"
    RANGE = "range"
    UNIQUE = "unique"
    LINE_TOTAL = "line_total"
    DOCUMENT_TOTAL = "document_total"
    REFERENCE = "reference"
    CATEGORY = "category"
    STALE = "stale"


RANKS = {rule: rank for rank, rule in enumerate(Rule)}

#: The next step for each rule; filled in with the entity, the id and the value.
NEXT_STEPS = {
    Rule.DEAD_LETTER: "Correct it in Zoho, or here, and try again: tds dead-letter show {value}",
    Rule.CHECKSUM: "It was changed or removed here, not by TDS. Read it again: tds repair {entity}",
    Rule.PARENT: "Read the record of these lines again: tds repair {entity}",
    Rule.TYPE: "Correct the value in Zoho; the next sync reads it. All of them: tds findings --entity {entity}",
    Rule.REQUIRED: "Enter it in Zoho; the next sync brings it. Where Zoho has it: tds explain {entity} {id} --live",
    Rule.RANGE: "Correct it in Zoho; the next sync brings it. Where Zoho differs: tds explain {entity} {id} --live",
    Rule.UNIQUE: "Give each of these records a value of its own in Zoho, or delete what is there twice",
    Rule.LINE_TOTAL: "Read it again: tds sync {entity} --mode targeted --id {id} --force. Still so: it is so in Zoho",
    Rule.DOCUMENT_TOTAL: "Compare it with Zoho: tds explain {entity} {id} --live. Equal: Zoho counts what TDS does not",
    Rule.REFERENCE: "Read the record it names: tds sync {target} --mode targeted --id {value}",
    Rule.CATEGORY: "Give the product a category in Zoho; the next sync brings it",
    Rule.STALE: "Read everything once: tds sync {entity} --mode full",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One look at the records of `entity`.

    `query` selects, for each violation, source_id, rule, severity, field, value and says (what is wrong, in words).
    `says` in turn names what is looked at, for the progress of a report.
    """

    entity: Entity
    says: str
    query: str


#: Rules whose severity is a setting, by rule and field; of the entities that have such a field.
_SETTABLE = {
    (Rule.RANGE, "stock_on_hand"): "negative_stock",
    (Rule.REQUIRED, "sku"): "missing_sku",
    (Rule.UNIQUE, "sku"): "duplicate_sku",
}


@dataclass(frozen=True, slots=True)
class Severities:
    """The severities that an operator chose for what Zoho allows and a company may not want."""

    negative_stock: Severity = Severity.WARNING
    missing_sku: Severity = Severity.ERROR
    duplicate_sku: Severity = Severity.ERROR

    def of(self, rule: Rule, field: str, declared: Severity) -> Severity:
        """The severity in force of a violation whose declaration says `declared`."""
        setting = _SETTABLE.get((rule, field))
        return declared if setting is None else getattr(self, setting)


def severities(settings: Settings) -> Severities:
    """The severities of these settings."""
    chosen = (settings.negative_stock, settings.missing_sku, settings.duplicate_sku)
    return Severities(*(Severity(each) for each in chosen))
