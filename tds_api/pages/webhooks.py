"""The pages of webhooks: reception and events, one event, refused deliveries, and coverage by entity and hour."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.answer import Answer
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.masking import answered, masked_body
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_models.auth import Role
from tds_models.entities import ENTITIES
from tds_models.inbox import Verdict

VERDICTS: Final = ("open", *Verdict)
HOURS: Final = 24
#: Rows of a list, which is read again every few seconds, unless the address says another limit.
MOST_ROWS: Final = 25
#: The least share of an hour's changes that webhooks announced, for the middle tone.
_MOST_OF_THEM: Final = 0.9


def webhook_pages() -> Blueprint:
    """Webhooks."""
    routes = Blueprint("webhook pages", __name__, url_prefix=f"{HOME}/webhooks")

    @routes.get("")
    @needs(Role.VIEWER)
    def received() -> Response:
        """Reception in 24 hours, and recent events by the filters of the address."""
        api = ApiClient.of_request()
        frame = PageFrame(template="webhooks.html", title=gettext("Webhooks"), rows="events", refresh_seconds=5)
        parts = {
            "events": api.get("zoho/webhooks/recent", **{"limit": MOST_ROWS, **arguments()}),
            "reception": api.get_cached("zoho/webhooks/health"),
        }
        chosen = {name: value for name, value in request.args.items() if value and name != "cursor"}
        replay_path = f"{HOME}/webhooks/replay?{urlencode(chosen)}"
        return dashboard_page(frame, parts, entities=list(ENTITIES), verdicts=VERDICTS, replay_path=replay_path)

    @routes.get("/<int:event_id>")
    @needs(Role.VIEWER)
    def event(event_id: int) -> Response:
        """One event: where it ended, and the record it is about."""
        frame = PageFrame(
            template="webhook.html", title=gettext("Webhook %(number)s") % {"number": event_id}, refresh_seconds=5
        )
        return dashboard_page(frame, {"event": ApiClient.of_request().get(f"zoho/webhooks/{event_id}")})

    @routes.get("/refused")
    @needs(Role.VIEWER)
    def refused() -> Response:
        """Refused deliveries by the filters of the address, and how many there were by reason."""
        api = ApiClient.of_request()
        frame = PageFrame(
            template="webhooks_refused.html", title=gettext("Refused webhooks"), rows="deliveries", refresh_seconds=15
        )
        parts = {
            "deliveries": _masked_bodies(api.get("zoho/webhooks/rejected", **{"limit": MOST_ROWS, **arguments()})),
            "reception": api.get_cached("zoho/webhooks/health"),
        }
        return dashboard_page(frame, parts, entities=list(ENTITIES))

    @routes.get("/coverage")
    @needs(Role.VIEWER)
    def coverage() -> Response:
        """How many changes webhooks announced, by entity and hour, and those that none announced in time."""
        api = ApiClient.of_request()
        frame = PageFrame(
            template="webhook_coverage.html", title=gettext("Coverage of webhooks"), rows="gaps", refresh_seconds=30
        )
        parts = {
            "coverage": api.get("zoho/webhooks/coverage", hours=HOURS),
            "gaps": api.get("zoho/webhooks/coverage/gaps", **arguments()),
        }
        hours = hours_of(parts["coverage"])
        rows = [heat_row(entity, hours) for entity in parts["coverage"].data["entities"]] if hours else []
        return dashboard_page(frame, parts, entities=list(ENTITIES), hours=hours, rows=rows)

    return routes


def _masked_bodies(deliveries: Answer) -> Answer:
    """Refused deliveries without the personal data in what is kept of their bodies."""
    if not deliveries:
        return deliveries
    items = [{**each, "body_start": masked_body(each["body_start"])} for each in deliveries.items]
    return answered(deliveries, {**deliveries.data, "items": items})


def hours_of(coverage: Answer) -> list[datetime]:
    """The hours of the table, the oldest first; none of a refusal."""
    if not coverage:
        return []
    last = datetime.fromisoformat(coverage.data["to_at"])
    return [last - timedelta(hours=back) for back in reversed(range(HOURS))]


def heat_row(entity: Mapping[str, Any], hours: Iterable[datetime]) -> dict[str, Any]:
    """An entity with a cell for each hour; None for hours in which nothing changed."""
    cells = {datetime.fromisoformat(cell["hour_at"]): cell for cell in entity["cells"]}
    return {**entity, "cells": [_heat_cell(hour, cells.get(hour)) for hour in hours]}


def _heat_cell(hour: datetime, cell: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if cell is None or cell["coverage_ratio"] is None:
        return None
    ratio = cell["coverage_ratio"]
    return {
        "tone": "full" if ratio >= 1 else "part" if ratio >= _MOST_OF_THEM else "low",
        # Rounded down, so that only a whole hour says 100.
        "percent": int(ratio * 100),
        "changed_count": cell["changed_count"],
        "hour": hour.isoformat(),
    }
