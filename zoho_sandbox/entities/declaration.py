"""The declaration of one kind of record: its keys in lists and details, their values, and what lists know of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoho_sandbox.organization import Organization
from zoho_sandbox.record import EVERYWHERE, TIME_COLUMNS, Record, Rendered, Shape, State, state_facet, text_key

Values = Callable[[Organization, Record], Rendered]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A kind of record. A list row has the keys of `row`, a detail those of `detail`, each with its usual value."""

    plural: str
    singular: str
    noun: str
    # The collection's name where it is not the plural.
    name: str = ""
    report_name: str
    row: Rendered
    detail: Rendered
    # The record's values beyond its state and times; `parts` are those only a detail needs.
    values: Values = lambda _organization, _record: {}
    parts: Values = lambda _organization, _record: {}
    sortable: tuple[str, ...] = ()
    keys: Mapping[str, Callable[[Record], Any]] = field(default_factory=dict)
    default_sort: str = "created_time"
    default_order: str = "D"
    facets: tuple[str, ...] = ()
    # What lists filter by beyond the state's own fields.
    worked_out_facets: Mapping[str, Callable[[Record], str]] = field(default_factory=dict)
    status_filters: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    search: tuple[str, ...] = ()
    incremental: frozenset[str] = EVERYWHERE
    rule_module: str = ""
    name_key: str = ""
    stands_on: Callable[[State], Iterable[str]] = lambda _state: ()


def words(status: str) -> str:
    """A status as people read it."""
    return status.replace("_", " ").title()


def status_filters(*statuses: str) -> dict[str, tuple[str, str]]:
    """`Status.PartiallyPaid` and its like for these statuses."""
    return {f"Status.{words(status).replace(' ', '')}": ("status", status) for status in statuses}


def selected(table: Rendered, values: Rendered) -> Rendered:
    """The keys of `table` with their values, or their usual ones."""
    return {key: values.get(key, usual) for key, usual in table.items()}


def shape_of(declaration: Declaration, organization: Organization, wrapper: str = "") -> Shape:
    """The shape of the records `declaration` describes; `wrapper` is a webhook's key for them, if not the singular."""
    clock, id_key = organization.clock, f"{declaration.singular}_id"
    name = declaration.name or declaration.plural
    custom = organization.custom_fields.get(name)

    def values(record: Record) -> Rendered:
        own = {
            id_key: record.id,
            "created_time": clock.stamp(record.created),
            "last_modified_time": clock.stamp(record.modified),
            "status_formatted": words(str(record.state.get("status", ""))),
            **organization.shared,
        }
        return own | record.state | declaration.values(organization, record)

    def row(record: Record) -> Rendered:
        value = record.state.get("cf")
        keys = {custom.api_name: value, f"{custom.api_name}_unformatted": value} if custom and value else {}
        return selected(declaration.row, values(record)) | keys

    def detail(record: Record) -> Rendered:
        whole = selected(declaration.detail, values(record) | declaration.parts(organization, record))
        return whole | (organization.custom_parts(name, record.state.get("cf", "")) if custom else {})

    columns = {name: text_key(name) for name in declaration.sortable} | TIME_COLUMNS | dict(declaration.keys)
    return Shape(
        name=declaration.name or declaration.plural,
        plural=declaration.plural,
        singular=declaration.singular,
        noun=declaration.noun,
        id_key=id_key,
        report_name=declaration.report_name,
        default_sort=declaration.default_sort,
        default_order=declaration.default_order,
        columns=columns,
        sortable=frozenset(declaration.sortable),
        facets={name: state_facet(name) for name in declaration.facets} | dict(declaration.worked_out_facets),
        status_filters=dict(declaration.status_filters),
        contains={f"{name}_contains": name for name in declaration.search},
        search=declaration.search,
        is_dated="date" in declaration.row,
        render_row=row,
        render_detail=detail,
        rule_module=lambda _record: declaration.rule_module,
        incremental=declaration.incremental,
        name_key=declaration.name_key,
        stands_on=declaration.stands_on,
        wrapper=wrapper or declaration.singular,
    )
