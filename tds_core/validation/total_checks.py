"""Total checks: queries for documents whose lines do not come to their sum, or whose sums do not come to their total.

A difference in columns is looked at in the source's record, which says whether its rates include tax, how it rounds,
what it was discounted by (`discount_total`) and how it states the same sum otherwise; each sum it states is right.
"""

from collections.abc import Iterator

from tds_core.validation.rules import Check, Rule
from tds_models.entities.declaration import Entity
from tds_models.entities.totals import DISCOUNT, DISCOUNT_TOTAL, INCLUSIVE, PRECISION, WHOLE_DISCOUNT

#: Digits behind the point where the record says nothing of them.
USUAL_PRECISION = 2


def checks_of(entity: Entity) -> Iterator[Check]:
    """The checks of the totals that `entity` declares."""
    if entity.line_total:
        yield Check(entity, f"sums of {entity.line_total.lines}", _line_query(entity))
    if entity.document_total:
        yield Check(entity, "totals", _document_query(entity))


def _line_query(entity: Entity) -> str:
    rule = entity.line_total
    assert rule is not None  # noqa: S101 (the caller asked)
    tax = f"coalesce(t.{rule.tax}, 0)" if rule.tax else "0"
    stated = [f"came - {_amount(key)}" for key in rule.stated_as]
    taxed = ["came - stated - tax", "came + tax - stated"] if rule.tax else []
    return f"""
        with summed as (
            select source, parent_id, sum({rule.part}) as came, count(*) as line_count,
                bool_or({rule.part} is null) as is_open
            from {entity.line_tables[rule.lines].fullname} group by source, parent_id
        ), differing as materialized (
            select t.source_id, t.source_record as record, t.{rule.total} as stated, {tax} as tax,
                coalesce(s.came, 0) as came, coalesce(s.line_count, 0) + 1 as rounding_count
            from {entity.table.fullname} t left join summed s on (s.source, s.parent_id) = (t.source, t.source_id)
            where t.deleted_at is null and t.lines_confirmed_at is not null and t.{rule.total} is not null
                and not coalesce(s.is_open, false) and coalesce(s.came, 0) <> t.{rule.total}
        )
        select source_id, '{Rule.LINE_TOTAL}' as rule, '{rule.severity}' as severity, '{rule.total}' as field,
            stated::text as value, format('its {rule.lines} come to %s', came) as says
        from ({_with_record("differing")}) d
        where not ({_any_right(["came - stated", "came - discount - stated", *stated], taxed)}) and not {_UNDECIDED}"""


def _document_query(entity: Entity) -> str:
    rule = entity.document_total
    assert rule is not None  # noqa: S101 (the caller asked)
    first, *more = rule.parts
    parts = " + ".join([f"t.{first}", *(f"coalesce(t.{part}, 0)" for part in more)])
    tax = f"coalesce(t.{rule.tax}, 0)" if rule.tax else "0"
    added = " + ".join(["came", *(f"coalesce({_amount(key)}, 0)" for key in rule.more)])
    unless = " or ".join(
        f"coalesce({_amount(key)}, 0) <> 0 or coalesce(record ->> '{key}' = 'true', false)" for key in rule.unless
    )
    plain = [f"{added} - stated", f"{added} - discount - stated"]
    taxed = [f"{added} - tax - stated", f"{added} - tax - discount - stated"] if rule.tax else []
    return f"""
        with differing as materialized (
            select t.source_id, t.source_record as record, t.{rule.total} as stated, {tax} as tax,
                {parts} as came, {len(rule.parts) + 1} as rounding_count
            from {entity.table.fullname} t
            where t.deleted_at is null and t.lines_confirmed_at is not null and {parts} <> t.{rule.total}
        )
        select source_id, '{Rule.DOCUMENT_TOTAL}' as rule, '{rule.severity}' as severity, '{rule.total}' as field,
            stated::text as value, format('its sums come to %s', {added}) as says
        from ({_with_record("differing")}) d
        where not ({_any_right(plain, taxed)}) and not {_UNDECIDED} and not ({unless})"""


def _with_record(source: str) -> str:
    """The rows of `source` with what the record says of its rounding, its tax and a discount of the whole."""
    digits = f"least(coalesce({_amount(PRECISION)}, {USUAL_PRECISION}), 6)"
    return f"""select *, 0.5 * 10::numeric ^ -{digits} * rounding_count as tolerance,
            coalesce(record ->> '{INCLUSIVE}' = 'true', false) as is_inclusive,
            coalesce({_amount(DISCOUNT_TOTAL)}, 0) as discount from {source}"""


# A discount of the whole document without its amount: what it is taken from is not said.
_UNDECIDED = f"""(coalesce(record ->> '{WHOLE_DISCOUNT[0]}' = '{WHOLE_DISCOUNT[1]}', false) and discount = 0
            and coalesce(record ->> '{DISCOUNT}', '') !~ '^[0.%\\s]*$')"""


def _any_right(always: list[str], inclusive: list[str]) -> str:
    """Whether one of these differences is rounding; those of `inclusive` where the record's rates include tax."""
    near = " or ".join(f"coalesce(abs({difference}) <= tolerance, false)" for difference in always)
    if not inclusive:
        return near
    taxed = " or ".join(f"abs({difference}) <= tolerance" for difference in inclusive)
    return f"{near} or (is_inclusive and ({taxed}))"


def _amount(key: str) -> str:
    """An amount of the source's record, null where it has none; it is a number, or one spelled as text."""
    return f"(case when record ->> '{key}' ~ '^-?[0-9]{{1,30}}([.][0-9]+)?$' then (record ->> '{key}')::numeric end)"
