"""The page of the audit trail: who did what with its outcome, filtered by the address, for administrators."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from tests.support.page_reader import Pages, pages_of

PAGE = "/dashboard/audit"


@pytest.fixture
def pages(database: str, engine: Engine) -> Iterator[Pages]:
    with pages_of(database, engine) as pages:
        pages.operator.press("/dashboard/runs", "POST sync/all", mode="incremental")
        pages.viewer.post("POST sync/all", _csrf="x")
        yield pages


def test_actions_are_listed_with_who_what_and_the_outcome(pages: Pages) -> None:
    seen = pages.admin.get(PAGE).text
    assert "syncs.sync_all" in seen
    assert f'href="{PAGE}?caller=the-operator&amp;kind=action"' in seen
    assert "refused" in seen
    csv = pages.admin.get(PAGE, format="csv")
    assert csv.content_type.startswith("text/csv")
    assert "the-operator" in csv.text


def test_the_address_filters_by_operator_outcome_and_time(pages: Pages) -> None:
    def callers(**filters: str) -> set[str]:
        return {each["caller"] for each in pages.admin.json(PAGE, **filters)["entries"]["items"]}

    assert callers(caller="the-operator") == {"the-operator"}
    assert callers(outcome="refused") == {"the-viewer"}
    soon = datetime.now(UTC) + timedelta(hours=1)
    assert callers(since=f"{soon:%Y-%m-%dT%H:%M}") == set()
    assert "the-operator" in callers(until=f"{soon:%Y-%m-%dT%H:%M}")
    assert "Nothing fits." in pages.admin.get(PAGE, caller="nobody").text


def test_changes_of_records_stand_beside_actions_and_are_filtered_by_entity(pages: Pages) -> None:
    with pages.sender.engine.begin() as connection:
        connection.exec_driver_sql("""
            insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin,
                correlation_id)
            values ('zoho', 'product', '77', 3, 'updated', '{"name": ["<i>old</i>", "new"]}', 'webhook', 'c'),
                   ('zoho', 'invoice', '78', 1, 'updated', '{"number": [null, "I-1"]}', 'webhook', 'c')""")
    seen = pages.admin.get(PAGE, kind="change", entity="product").text.split('<main id="main"')[1]
    assert 'href="/dashboard/entities/product/77"' in seen
    assert "&lt;i&gt;old&lt;/i&gt;" in seen
    assert "/dashboard/entities/invoice/78" not in seen
    assert "syncs.sync_all" not in seen
    kinds = {each["kind"] for each in pages.admin.json(PAGE)["entries"]["items"]}
    assert kinds == {"change", "action"}


def test_the_trail_is_for_administrators(pages: Pages) -> None:
    assert pages.operator.get(PAGE).status_code == 403
    assert "the-viewer" not in pages.operator.get(PAGE).text.split('<main id="main"')[1]
