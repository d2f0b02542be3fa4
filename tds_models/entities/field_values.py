"""Readers of field values: each kind has one meaning and one spelling, or is refused with its reason."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any

# Beyond these a number is a fault of the sender; PostgreSQL's numeric would take it and every sum would suffer.
LARGEST_EXPONENT, MOST_DIGITS = 30, 100


_BOOLEANS: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}


#: Where Zoho's details keep an organisation's own fields, as an object by API name or as a list of them; its list rows
#: spread them, each under its own `cf_…` key. `…_unformatted` is the value for programs beside the one for people.
CUSTOM_KEY, CUSTOM_LIST_KEY, CUSTOM_PREFIX, TWIN = "custom_field_hash", "custom_fields", "cf_", "_unformatted"


#: Ids are keys of indexes, which hold no more than some 2,700 bytes.
LONGEST_ID = 200


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


# A comma parts thousands where it can part nothing else: groups of three, and a point or another group behind it.
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]*|[0-9]{1,3}(?:,[0-9]{3}){2,})"
    r"(?:[eE][+-]?[0-9]{1,3})?"
)


class PartlyUnreadableError(ValueError):
    """Parts of a nested value cannot be read; `rest` is what can."""

    def __init__(self, message: str, rest: Any) -> None:
        super().__init__(message)
        self.rest = rest


def is_nothing(value: Any) -> bool:
    """Whether a single value says nothing: null, an empty text or a blank one."""
    return value is None or (type(value) is str and (not value or value.isspace()))


def read_text(value: Any) -> str:
    """Text as it came; numbers and booleans that stand where text is declared have one spelling each."""
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("contains a NUL character, which PostgreSQL cannot store")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return spelled_number(value)
    raise ValueError(f"expected text, got {type(value).__name__}")


def spelled_number(value: int | Decimal) -> str:
    """The one spelling of a number: 10, 10.0 and 1e1 are `10`."""
    number = read_number(value)
    return plain_number(number)


def plain_number(number: Decimal) -> str:
    """A number of any size without an exponent and without noughts behind its last digit."""
    whole, point, part = f"{number:f}".partition(".")  # normalize() would round to 28 digits
    return (f"{whole}.{part}".rstrip("0").rstrip(".") if point else whole) if number else "0"


def read_number(value: Any) -> Decimal:
    """An exact decimal; never through a float."""
    number = value if type(value) is Decimal else Decimal(value) if type(value) is int else _number_of_text(value)
    if not number.is_finite() or not -LARGEST_EXPONENT <= number.adjusted() <= LARGEST_EXPONENT:
        raise ValueError(f"number out of range: {str(value)[:40]}")
    return number


def _number_of_text(value: Any) -> Decimal:
    if type(value) is not str:
        raise ValueError(f"expected a number, got {type(value).__name__}")
    text = value.strip()
    if len(text) > MOST_DIGITS or not _NUMBER.fullmatch(text):
        raise ValueError(f"expected a number, got {value[:40]!r}")
    return Decimal(text.replace(",", ""))


def read_rate(value: Any) -> Decimal:
    """A share of a hundred: `5`, or with its sign `5%`."""
    return read_number(value.strip().removesuffix("%").rstrip() if type(value) is str else value)


def read_discount(value: Any) -> str:
    """An amount, or with a percent sign a share, in one spelling; a text that is neither stays as it came."""
    if type(value) is not str:
        return read_text(value)
    amount, sign = (value.strip().removesuffix("%").rstrip(), "%") if "%" in value else (value, "")
    try:
        return spelled_number(read_number(amount)) + sign
    except ValueError:
        return read_text(value)


def read_integer(value: Any) -> int:
    """A whole number."""
    number = read_number(value)
    if number != number.to_integral_value():
        raise ValueError(f"expected a whole number, got {number}")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"number out of range: {number}")
    return int(number)


def read_boolean(value: Any) -> bool:
    """True or false, also spelled as text, as 1 or as 0."""
    if isinstance(value, bool):
        return value
    spelled = spelled_number(value) if isinstance(value, (int, Decimal)) else str(value).strip().lower()
    if spelled not in _BOOLEANS:
        raise ValueError(f"expected true or false, got {str(value)[:40]!r}")
    return _BOOLEANS[spelled]


def read_date(value: Any) -> date:
    """A calendar day, `yyyy-mm-dd`, also with a time behind it.

    It is the day the sender spells. In UTC that may be another one than where the organisation is, unless it is
    midnight, so such a time is refused.
    """
    try:
        text = value.strip()
        day = date.fromisoformat(text[:10]) if _DAY.fullmatch(text[:10]) else None
        moment = datetime.fromisoformat(text) if day and text[10:] else None
    except (AttributeError, TypeError, ValueError):
        day = None
    if day is None:
        raise ValueError(f"expected a date yyyy-mm-dd, got {str(value)[:40]!r}")
    if moment is not None and moment.tzinfo is not None and not moment.utcoffset() and moment.time() != time():
        raise ValueError(f"expected a date yyyy-mm-dd, got a time in UTC: {str(value)[:40]!r}")
    return day


def read_instant(value: Any) -> datetime:
    """A moment with its zone (`2026-11-22T09:30:00+0300`), as aware UTC."""
    try:
        moment = datetime.fromisoformat(value.strip())
    except (AttributeError, ValueError):
        raise ValueError(f"expected a time with a zone, got {str(value)[:40]!r}") from None
    if moment.tzinfo is None:
        raise ValueError(f"time without a zone: {value}")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"time out of range: {value}") from None


def read_reference(value: Any) -> str:
    """The source id of another record: text, also when it came as a whole number."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"expected an id, got {type(value).__name__}")
    spelled = value if isinstance(value, str) else str(value)
    if len(spelled) > LONGEST_ID:
        raise ValueError(f"expected an id, got {len(spelled)} characters")
    return read_text(spelled)


def read_json(value: Any) -> Any:
    """A nested value, kept as it is; an empty list or object is none."""
    return value if value not in ([], {}) else None


def custom_of_list(given: Any) -> Any:
    """An organisation's own fields from a list of them (`api_name` or else `label`, and `value`), by API name.

    What is no list comes back as it is; what in it is no field, or has no name, stands under none.
    """
    if not isinstance(given, list):
        return given
    found: dict[str, Any] = {}
    for each in given:
        if not isinstance(each, dict):
            if not is_nothing(each):
                found[""] = each
            continue
        name = _custom_name(each)
        if name in found:  # another field of the same label
            name = f"{name}_{each['customfield_id']}" if each.get("customfield_id") else ""
        found[name] = each.get("value")
        if not is_nothing(each.get(f"value{TWIN}")):
            found[f"{name}{TWIN}"] = each[f"value{TWIN}"]
    return found


def _custom_name(given: Mapping[str, Any]) -> str:
    """The API name of one field; without one, as the source makes it of the label; empty without either."""
    for key in ("api_name", "placeholder"):
        name = given.get(key)
        if isinstance(name, str) and not is_nothing(name):
            return name
    label = given.get("label")
    return _name_of_label(label) if isinstance(label, str) and not is_nothing(label) else ""


@lru_cache(maxsize=1024)  # an organisation has few own fields, and each of its records shows them
def _name_of_label(label: str) -> str:
    return CUSTOM_PREFIX + re.sub(r"\W+", "_", label.strip().lower()).strip("_")


def read_custom(value: Any) -> dict[str, Any] | None:
    """An organisation's own fields by their API names, each as JSON has it; `None` without any.

    Sources give a value for people and one for programs (`…_unformatted`); the latter is kept. Raises
    `PartlyUnreadableError` naming the fields that cannot be kept.
    """
    if value == []:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {type(value).__name__}")
    read: dict[str, Any] = {}
    wrong: list[str] = []
    for name in dict.fromkeys(each.removesuffix(TWIN) for each in value):
        twin = value.get(f"{name}{TWIN}")
        chosen = value.get(name) if is_nothing(twin) else twin
        if is_nothing(chosen) or chosen in ([], {}):
            continue
        if reason := _custom_flaw(name, chosen):
            wrong.append(reason)
        else:
            read[name] = chosen
    if wrong:
        raise PartlyUnreadableError("; ".join(wrong), read or None)
    return read or None


def _custom_flaw(name: str, value: Any) -> str | None:
    """Why one of an organisation's own fields cannot be kept, if it cannot."""
    if not name:
        return "a field without a name"
    try:
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            read_number(value)
    except ValueError:
        return f"{name[:80]}: number out of range"
    return None
