"""What makes one kind of record: two tables of the wire, the values to fill them with, and what lists know of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoho_sandbox.organization import Organization
from zoho_sandbox.records import EVERYWHERE, TIME_COLUMNS, Record, Rendered, Shape, State, state_facet, text_key

Values = Callable[[Organization, Record], Rendered]


@dataclass(frozen=True, kw_only=True)
class Facts:
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


def shape_of(facts: Facts, organization: Organization, wrapper: str = "") -> Shape:
    """The shape of the records `facts` describes; `wrapper` is a webhook's key for them, if not the singular."""
    clock, id_key = organization.clock, f"{facts.singular}_id"
    name = facts.name or facts.plural
    custom = organization.custom_fields.get(name)

    def values(record: Record) -> Rendered:
        own = {
            id_key: record.id,
            "created_time": clock.stamp(record.created),
            "last_modified_time": clock.stamp(record.modified),
            "status_formatted": words(str(record.state.get("status", ""))),
            **organization.shared,
        }
        return own | record.state | facts.values(organization, record)

    def row(record: Record) -> Rendered:
        value = record.state.get("cf")
        keys = {custom.api_name: value, f"{custom.api_name}_unformatted": value} if custom and value else {}
        return selected(facts.row, values(record)) | keys

    def detail(record: Record) -> Rendered:
        whole = selected(facts.detail, values(record) | facts.parts(organization, record))
        return whole | (organization.custom_parts(name, record.state.get("cf", "")) if custom else {})

    columns = {name: text_key(name) for name in facts.sortable} | TIME_COLUMNS | dict(facts.keys)
    return Shape(
        name=facts.name or facts.plural,
        plural=facts.plural,
        singular=facts.singular,
        noun=facts.noun,
        id_key=id_key,
        report_name=facts.report_name,
        default_sort=facts.default_sort,
        default_order=facts.default_order,
        columns=columns,
        sortable=frozenset(facts.sortable),
        facets={name: state_facet(name) for name in facts.facets} | dict(facts.worked_out_facets),
        status_filters=dict(facts.status_filters),
        contains={f"{name}_contains": name for name in facts.search},
        search=facts.search,
        is_dated="date" in facts.row,
        render_row=row,
        render_detail=detail,
        rule_module=lambda _record: facts.rule_module,
        incremental=facts.incremental,
        name_key=facts.name_key,
        stands_on=facts.stands_on,
        wrapper=wrapper or facts.singular,
    )
