"""Conversions: SQL that makes our value of an old column's, and the old column's of ours, by both types."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tds_core.cutover.mapping import Conversion, MappedColumn, MappingError, kind_of
from tds_core.cutover.sql_names import literal

_NUMBER = r"^[-+]?\d+(\.\d*)?$"
# A day that is none, as 0000-00-00 or the 31st of June, is no value; only the 29th of February depends on the year.
_DAY = (
    r"^(?!0000)\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|[12]\d))"
    r"(?!\d)"
)
_MOMENT = _DAY + r"[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?"
#: No id of a source is longer.
LONGEST_ID = 64
_ZONE = r"(Z|[-+]\d{2}(:?\d{2})?)$"


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The type of an old column: as SQL spells it, and which class of types it is of.

    `group`: text, number, boolean, date, naive (a moment without a zone), instant, or other.
    """

    sql: str
    group: str


@dataclass(frozen=True, slots=True)
class ColumnSql:
    """One mapped column in SQL. `ours` and `theirs` make a value of the other side's expression."""

    mapped: MappedColumn
    type: ColumnType
    ours: Callable[[str], str]
    theirs: Callable[[str], str]

    def round_trip(self, value: str) -> str:
        """Our value as the old column would keep it, as ours again: what its type cannot hold is no difference."""
        return self.ours(self.theirs(value))


Pair = tuple[Callable[[str], str], Callable[[str], str]]


def column_sql(mapped: MappedColumn, column_type: ColumnType, *, place: str) -> ColumnSql:
    """How a mapped column of this type is converted. Raises MappingError where its values cannot be understood."""
    pair = _pair_of(mapped, column_type)
    if pair is None:
        raise MappingError(_advice(mapped, column_type, place))
    ours, theirs = pair
    kind = mapped.field.kind.sql
    return ColumnSql(
        mapped,
        column_type,
        ours=lambda value: f"({ours(value)})::{kind}",
        theirs=lambda value: f"({theirs(value)})::{column_type.sql}",
    )


def key_sql(value: str, group: str) -> str:
    """Zoho's id in an old column, as text; null where there is none, or a text that is too long for one."""
    spelled = f"trim_scale({value}::numeric)::text" if group == "number" else f"{value}::text"
    return f"case when length(btrim({spelled})) between 1 and {LONGEST_ID} then btrim({spelled}) end"


def is_living(column: str, group: str, deleted_is: Sequence[str]) -> str:
    """The condition that an old row counts: a time of deletion says that it does not, whichever it is."""
    if group in ("date", "naive", "instant"):
        return f"{column} is null"
    values = ", ".join(literal(each) for each in deleted_is)
    return f"coalesce(lower(btrim({column}::text)), '') not in ({values})"


def _pair_of(mapped: MappedColumn, column_type: ColumnType) -> Pair | None:
    if mapped.words:
        return _translated(mapped, column_type.group)
    kind = kind_of(mapped.field)
    by_kind = {
        "text": _text, "number": _number, "integer": _number, "boolean": _boolean, "date": _date, "instant": _instant,
    }  # fmt: skip
    return by_kind[kind](mapped, column_type.group)


def _translated(mapped: MappedColumn, group: str) -> Pair:
    """Words of theirs for ours. What has no word passes between texts, and is no value otherwise."""
    is_text = kind_of(mapped.field) == "text"
    backward = {ours: theirs for theirs, ours in reversed(list(mapped.words.items()))}

    def case(value: str, pairs: dict[str, str], rest: str) -> str:
        whens = " ".join(f"when {literal(before)} then {literal(after)}" for before, after in pairs.items())
        return f"case btrim({value}::text) {whens} {rest} end"

    return (
        lambda value: case(value, dict(mapped.words), f"else nullif(btrim({value}::text), '')" if is_text else ""),
        lambda value: case(value, backward, f"else {value}::text" if group == "text" else ""),
    )


def _text(mapped: MappedColumn, group: str) -> Pair | None:
    if mapped.conversion or group in ("naive", "instant"):
        return None
    return (lambda value: f"nullif(btrim({value}::text), '')", lambda value: value)


def _number(mapped: MappedColumn, group: str) -> Pair | None:
    is_cents = mapped.conversion is Conversion.CENTS
    if group == "text" and mapped.conversion in (Conversion.NUMBER, Conversion.CENTS):
        pair: Pair = (_parsed_number, lambda value: f"trim_scale({value}::numeric)::text")
    elif group == "number" and mapped.conversion in (None, Conversion.CENTS, Conversion.NUMBER):
        pair = (lambda value: f"{value}::numeric", lambda value: value)
    else:
        return None
    if not is_cents:
        return pair
    ours, theirs = pair
    return (lambda value: f"({ours(value)}) / 100", lambda value: theirs(f"round({value} * 100)"))


def _parsed_number(value: str) -> str:
    bare = f"replace(btrim({value}::text), ',', '')"
    return f"case when {bare} ~ {literal(_NUMBER)} then {bare}::numeric end"


def _boolean(mapped: MappedColumn, group: str) -> Pair | None:
    if mapped.conversion is Conversion.BOOLEAN and group == "text":
        word = "lower(btrim({}::text))".format
        return (
            lambda value: (
                f"case when {word(value)} in ('true', 't', 'yes', 'y', 'on', '1') then true"
                f" when {word(value)} in ('false', 'f', 'no', 'n', 'off', '0') then false end"
            ),
            lambda value: f"{value}::text",
        )
    if mapped.conversion not in (None, Conversion.BOOLEAN):
        return None
    if group == "number":
        return (lambda value: f"{value} <> 0", lambda value: f"{value}::integer")
    return (lambda value: value, lambda value: value) if group == "boolean" else None


def _date(mapped: MappedColumn, group: str) -> Pair | None:
    zone = literal(mapped.time_zone)
    if group == "text" and mapped.conversion is Conversion.DATE:
        return (
            lambda value: f"case when btrim({value}) ~ {literal(_DAY)} then left(btrim({value}), 10)::date end",
            lambda value: f"to_char({value}, 'YYYY-MM-DD')",
        )
    if mapped.conversion not in (None, Conversion.DATE):
        return None
    if group == "instant":
        return (
            lambda value: f"({value} at time zone {zone})::date",
            lambda value: f"{value}::timestamp at time zone {zone}",
        )
    return (lambda value: f"{value}::date", lambda value: value) if group in ("date", "naive") else None


def _instant(mapped: MappedColumn, group: str) -> Pair | None:
    zone = literal(mapped.time_zone)
    local: Pair = (lambda value: f"{value} at time zone {zone}", lambda value: f"{value} at time zone {zone}")
    plain: Pair = (lambda value: value, lambda value: value)
    epoch: Pair = (
        lambda value: f"to_timestamp({value}::double precision)",
        lambda value: f"extract(epoch from {value})",
    )
    spelled: Pair = (
        lambda value: (
            f"case when btrim({value}) ~ {literal(_MOMENT + _ZONE)} then {value}::timestamptz"
            f" when btrim({value}) ~ {literal(_MOMENT + '$')} then {value}::timestamp at time zone {zone} end"
        ),
        lambda value: f"to_char({value} at time zone {zone}, 'YYYY-MM-DD\"T\"HH24:MI:SS')",
    )
    return {
        ("naive", None): local, ("instant", None): plain, ("number", Conversion.EPOCH): epoch,
        ("naive", Conversion.TIME): local, ("instant", Conversion.TIME): plain, ("text", Conversion.TIME): spelled,
    }.get((group, mapped.conversion))  # fmt: skip


_AS_OF_TEXT = {
    "number": "number or cents", "integer": "number or cents", "boolean": "boolean", "date": "date", "instant": "time",
}  # fmt: skip


def _advice(mapped: MappedColumn, column_type: ColumnType, place: str) -> str:
    kind = kind_of(mapped.field)
    where = f"{place}.columns.{mapped.field.name}"
    said = f"{where}: the old column {mapped.column} is {column_type.sql}, and {mapped.field.name} is a {kind}"
    if mapped.conversion:
        return f'{said}: as = "{mapped.conversion}" does not lead from one to the other.'
    if column_type.group == "text" and kind in _AS_OF_TEXT:
        return f'{said}. Say how it is spelled: {{column = "{mapped.column}", as = "{_AS_OF_TEXT[kind]}"}}'
    if column_type.group == "number" and kind == "instant":
        return f'{said}. If it counts seconds since 1970: {{column = "{mapped.column}", as = "epoch"}}'
    return f"{said}. TDS has no conversion between them; leave the line out."
