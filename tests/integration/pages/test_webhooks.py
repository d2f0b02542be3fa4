"""The pages of webhooks: what came and where it ended, one replayed, what was refused, and coverage by the hour."""

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tds_api.pages.webhooks import heat_row
from tests.support.page_reader import Pages, pages_of
from tests.support.webhook_sender import wrapped
from tests.support.world import World

PAGE = "/dashboard/webhooks"
ID = "460000000038080"


@pytest.fixture
def pages(world: World, database: str) -> Iterator[Pages]:
    with pages_of(database, world.engine) as pages:
        yield pages


def test_events_show_where_they_ended_and_lead_to_their_records(world: World, pages: Pages) -> None:
    for source_id in (ID, "460000000038081"):
        assert pages.sender.send(wrapped(source_id)).status_code == 202
    world.drain("product")
    events = pages.viewer.json(PAGE)["events"]["items"]
    assert [event["verdict"] for event in events] == ["applied", "applied"]
    assert len(pages.viewer.json(PAGE, source_id=ID)["events"]["items"]) == 1
    assert pages.viewer.json(PAGE, verdict="open")["events"]["items"] == []
    page = pages.viewer.get(PAGE).text
    assert f'href="/dashboard/entities/product/{ID}"' in page
    assert f'href="{PAGE}?verdict=applied"' in page
    assert len(pages.viewer.get(PAGE, format="csv").text.splitlines()) == 3
    assert pages.viewer.get(PAGE, since="yesterday").status_code == 422


def test_an_event_is_replayed_as_a_new_one(world: World, pages: Pages) -> None:
    pages.sender.send(wrapped(ID))
    world.drain("product")
    event = f"{PAGE}/{pages.viewer.json(PAGE)['events']['items'][0]['id']}"
    action = f"POST zoho/webhooks/{event.rsplit('/', 1)[1]}/replay"
    assert "applied" in pages.viewer.get(event).text
    assert not pages.viewer.offers(event, action)
    assert pages.viewer.post(action).status_code == 403
    assert pages.operator.post(action).status_code == 403, "without the token"
    assert world.value("select count(*) from tds_inbox_events") == 1
    answer = pages.operator.press(event, action)
    assert (answer.status_code, answer.location) == (303, PAGE)
    assert world.value("select count(*) from tds_inbox_events") == 2
    assert pages.viewer.get(f"{PAGE}/999999").status_code == 404


def test_what_was_refused_is_shown_to_operators_as_text(pages: Pages) -> None:
    forged = b'{"item": {"item_id": "1", "name": "<script>alert(1)</script>", "email": "ann@example.test"}}'
    assert pages.sender.send(forged, secret="wrong").status_code == 401
    page = pages.operator.get(f"{PAGE}/refused").text
    assert "signature wrong" in page
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page
    assert f'href="{PAGE}/refused?reason=signature_wrong"' in page
    for form in ("html", "json", "csv"):
        assert "ann@example" not in pages.operator.get(f"{PAGE}/refused", format=form).text, "personal"
    assert pages.operator.json(f"{PAGE}/refused", reason="body_too_large")["deliveries"]["items"] == []
    refused = pages.viewer.get(f"{PAGE}/refused")
    assert (refused.status_code, "alert(1)" in refused.text) == (403, False)


def test_coverage_has_a_column_for_each_hour_and_leads_to_its_gaps(world: World, pages: Pages) -> None:
    hour = "date_trunc('hour', now()) - interval '1 hour'"
    world.execute(
        "insert into tds_webhook_coverage_position (id, first_webhook_at, measured_at)"
        " values (1, now() - interval '1 day', now()) on conflict (id) do update"
        " set first_webhook_at = excluded.first_webhook_at, measured_at = excluded.measured_at"
    )
    world.execute(
        "insert into tds_webhook_coverage (source, entity, operation, hour_at, webhook_count, never_count)"
        f" values ('zoho', 'product', 'updated', {hour}, 19, 1)"
    )
    world.execute(
        "insert into tds_webhook_gaps (entry_id, source, entity, source_id, operation, origin, correlation_id,"
        f" changed_at, found_at, verdict) select n, 'zoho', 'product', n::text, 'updated', 'run', '', {hour}"
        " - (n - 1) * interval '2 hours', now(), 'never' from generate_series(1, 2) n"
    )
    page = pages.viewer.get(f"{PAGE}/coverage").text
    table = page.split('class="heat"')[1].split("</table>")[0]
    assert table.count('<th scope="col">') == 26
    cell = re.search(r'<td class="part"><a href="([^"]+)"[^>]*>95</a>', table)
    assert cell is not None
    gaps = pages.viewer.json(html.unescape(cell[1]))["gaps"]["items"]
    assert [gap["source_id"] for gap in gaps] == ["1"]


def test_a_cell_says_a_hundred_only_of_a_whole_hour() -> None:
    hours = [datetime(2026, 11, 29, hour, tzinfo=UTC) for hour in (9, 10, 11)]
    shares = [(hours[0], 0.9999), (hours[1], 1.0)]
    cells = [{"hour_at": at.isoformat(), "coverage_ratio": share, "changed_count": 10_000} for at, share in shares]
    seen = heat_row({"entity": "product", "cells": cells}, hours)["cells"]
    assert [cell and (cell["percent"], cell["tone"]) for cell in seen] == [(99, "part"), (100, "full"), None]
