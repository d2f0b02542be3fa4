"""The query of a list call, read from its parameters; unknown parameters mean nothing, as at Zoho."""

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt

import msgspec

from zoho_sandbox.api_errors import invalid_value
from zoho_sandbox.clock import OrgClock
from zoho_sandbox.collection import Facets
from zoho_sandbox.organization import Organization
from zoho_sandbox.record import Shape

PER_PAGE_MAX = 200
DATE_BOUNDS: dict[str, Callable[[str, str], bool]] = {
    "date_start": ge,
    "date_end": le,
    "date_before": lt,
    "date_after": gt,
}


class ListQuery(msgspec.Struct, frozen=True):
    """One page wanted: which rows, in which order, from where."""

    page: int
    per_page: int
    column: str
    descending: bool
    facets: Facets
    applied_filter: str
    since: int | None
    contains: tuple[tuple[str, str], ...]
    search: str
    # Bounds of the document's date: how it must compare, and to which day.
    dates: tuple[tuple[str, str], ...]
    response_option: int
    # The place of the location whose stock the rows shall show; None for all together.
    location: int | None = None


def read_query(
    shape: Shape,
    params: Mapping[str, str],
    organization: Organization,
    *,
    default_filter: str,
    heeds_time: bool,
    fixed: Facets = (),
    order: str = "known",
) -> ListQuery:
    """The query in `params`; raises the refusal Zoho gives for a value it cannot read.

    Without `heeds_time` the list looks at `last_modified_time` as little as at any unknown parameter. `order`: what is
    made of an order by time of change, see `ListSwitches`.
    """
    column, direction = _order(shape, params, order)
    applied, facets = _filters(shape, params, default_filter, dict(fixed))
    page, per_page = page_wanted(params)
    return ListQuery(
        page=page,
        per_page=per_page,
        column=column,
        descending=direction in {"D", "descending"},
        facets=facets,
        applied_filter=applied,
        since=_since(params, organization.clock) if heeds_time else None,
        contains=_contains(shape, params),
        search=params.get("search_text", "").lower(),
        dates=tuple((name, params[name]) for name in DATE_BOUNDS if shape.is_dated and params.get(name)),
        response_option=_whole(params, "response_option", 0, least=0),
        location=_location(shape, params, organization),
    )


def _order(shape: Shape, params: Mapping[str, str], order: str) -> tuple[str, str]:
    column = params.get("sort_column", shape.default_sort)
    if column == "last_modified_time" and order == "refused":
        raise invalid_value("sort_column")
    if column == "last_modified_time" and order == "ignored":
        return shape.default_sort, shape.default_order
    if column not in shape.sortable and not (column == "last_modified_time" and order == "obeyed"):
        column = shape.default_sort
    return column, params.get("sort_order", shape.default_order)


def page_wanted(params: Mapping[str, str]) -> tuple[int, int]:
    """The page asked for and its size. More than the maximum is answered with the maximum: the size is a wish."""
    return _whole(params, "page", 1), min(_whole(params, "per_page", PER_PAGE_MAX), PER_PAGE_MAX)


def _whole(params: Mapping[str, str], name: str, default: int, least: int = 1) -> int:
    text = params.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise invalid_value(name)
    return int(text)


def _since(params: Mapping[str, str], clock: OrgClock) -> int | None:
    text = params.get("last_modified_time", "")
    if not text:
        return None
    try:
        return clock.parse(text)
    except ValueError:
        raise invalid_value("last_modified_time") from None


def _location(shape: Shape, params: Mapping[str, str], organization: Organization) -> int | None:
    wanted = params.get("location_id") or params.get("warehouse_id")
    if not wanted or shape.render_row_at is None:
        return None
    return organization.place_of(wanted)


def _filters(
    shape: Shape, params: Mapping[str, str], default_filter: str, facets: dict[str, str]
) -> tuple[str, Facets]:
    applied = params.get("filter_by") or default_filter
    if applied in shape.status_filters:
        name, value = shape.status_filters[applied]
        facets[name] = value
    elif applied != "Status.All":
        if params.get("filter_by"):
            raise invalid_value("filter_by")
        applied = "Status.All"
    for name in shape.facets:
        if params.get(name):
            facets[name] = params[name]
    return applied, tuple(sorted(facets.items()))


def _contains(shape: Shape, params: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((field, params[name].lower()) for name, field in shape.contains.items() if params.get(name))
