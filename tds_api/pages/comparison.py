"""The pages of comparisons: how far the mirror equals Zoho, what differs and why, its repair, and the statements."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.answer import Answer
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.charts import Mark, Series, time_chart
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.masking import masked_items
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_api.pages.common.time_marks import read_time_marks, time_marks
from tds_models.auth import Role
from tds_models.comparison import DifferenceState
from tds_models.entities import ENTITIES

_ROUTE = "statistics/compare"
#: Arguments of these pages that no route gets.
_OF_PAGE = ("repair", "ids", "include_asked")
_CHART_DAYS = 30
#: So many lines of a document are shown of each side of a difference.
_MOST_LINES = 3


def comparison_pages() -> Blueprint:
    """Comparisons and statements."""
    routes = Blueprint("comparison pages", __name__, url_prefix=f"{HOME}/comparison")

    @routes.get("")
    @needs(Role.VIEWER)
    def newest() -> Response:
        """The newest comparison, what to do next, and how it was before."""
        api = ApiClient.of_request()
        entity = request.args.get("entity", "")
        return _page(api, api.get(_ROUTE, entity=entity if entity in ENTITIES else None), is_newest=True)

    @routes.get("/<int:comparison_id>")
    @needs(Role.VIEWER)
    def one(comparison_id: int) -> Response:
        """One comparison and what differed."""
        api = ApiClient.of_request()
        return _page(api, api.get(f"{_ROUTE}/{comparison_id}"), is_newest=False)

    @routes.get("/earlier")
    @needs(Role.VIEWER)
    def earlier() -> Response:
        """All comparisons, the newest first."""
        frame = PageFrame(template="comparisons.html", title=gettext("Comparisons"), rows="comparisons")
        return dashboard_page(
            frame, {"comparisons": ApiClient.of_request().get("statistics/comparisons", **arguments())}
        )

    @routes.get("/statement")
    @needs(Role.VIEWER)
    def newest_statement() -> Response:
        """The newest statement of agreement."""
        return _statement("statistics/statement")

    @routes.get("/statement/<int:number>")
    @needs(Role.VIEWER)
    def statement(number: int) -> Response:
        """A statement of agreement: what it says, and whether it verifies."""
        return _statement(f"statistics/statement/{number}")

    return routes


def _statement(path: str) -> Response:
    answer = ApiClient.of_request().get(path)
    title = gettext("Statement %(number)s") % {"number": answer.data["number"]} if answer else gettext("Statement")
    return dashboard_page(PageFrame(template="statement.html", title=title), {"statement": answer})


def _page(api: ApiClient, comparison: Answer, *, is_newest: bool) -> Response:
    parts = {"comparison": comparison}
    if comparison:
        path = f"{_ROUTE}/{comparison.data['id']}/differences"
        filters = {"limit": 50} | {name: value for name, value in arguments().items() if name not in _OF_PAGE}
        parts["differences"] = masked_items(api.get(path, **filters))
        if request.args.get("repair"):
            parts.update(_repair(api, comparison.data["id"]))
    values: dict[str, Any] = {}
    if is_newest:
        around = {
            "recommendations": api.get("statistics/recommendations"),
            "comparisons": api.get("statistics/comparisons", limit=200),
            "old_tables": api.get("migration/days", limit=1),
            **read_time_marks(api),
        }
        # That nothing was compared yet is no refusal of the page, whose status is that of its first part.
        parts = around | parts if comparison.status == 404 else parts | around
        values["chart"], values["figures"] = _score_chart(
            parts["comparisons"], time_marks(parts["alerts"], parts["deployments"])
        )
    is_running = bool(comparison) and comparison.data["state"] == "running"
    title = gettext("Comparison") if is_newest or not comparison else gettext("Comparison %(number)s") % {
        "number": comparison.data["id"]
    }  # fmt: skip
    frame = PageFrame(
        template="comparison.html",
        title=title,
        rows="differences" if comparison else None,
        refresh_seconds=_refresh(is_running, is_newest),
    )
    return dashboard_page(
        frame, parts, is_newest=is_newest, is_running=is_running, entities=list(ENTITIES), states=list(DifferenceState),
        brief_fields=brief_fields, next_step=next_step,
        progress=progress_of(comparison.data, datetime.now(UTC)) if is_running else None, **values,
    )  # fmt: skip


def _refresh(is_running: bool, is_newest: bool) -> int | None:
    if request.args.get("repair"):
        return None
    return 2 if is_running else 15 if is_newest else None


def _repair(api: ApiClient, comparison_id: str) -> dict[str, Answer]:
    """What a repair would do of all confirmed differences, of those of an entity, or of the selected ones."""
    ids = request.args.getlist("ids")
    if request.args["repair"] == "selected" and not ids:
        return {}
    plan = api.ask(
        "statistics/sync-differences", comparison_id=comparison_id, entity=request.args.get("entity"), ids=ids,
        include_asked="include_asked" in request.args, dry_run=True,
    )  # fmt: skip
    return {"plan": plan, "quota": api.get("zoho/quota")}


def brief_fields(difference: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of a difference; of lists only the first lines that the other side lacks, and how many there are."""
    return [_brief_field(each) for each in difference["fields"]]


def _brief_field(field: dict[str, Any]) -> dict[str, Any]:
    here, there = field["here"], field["there"]
    if not isinstance(here, list) and not isinstance(there, list):
        return {**field, "line_counts": None}
    ours, theirs = here or [], there or []
    counts = (len(ours), len(theirs))
    return {**field, "here": _lacking(theirs, ours), "there": _lacking(ours, theirs), "line_counts": counts}


def _lacking(known: list[Any], lines: list[Any]) -> list[Any]:
    spelled = {msgspec.json.encode(line) for line in known}
    return [line for line in lines if msgspec.json.encode(line) not in spelled][:_MOST_LINES]


def next_step(advice: dict[str, Any], comparison: Answer) -> tuple[str, str] | None:
    """Where a recommendation is acted on: the text and address of a link; None where the page itself has the button."""
    entity, mode = advice["entity"], advice["mode"]
    if mode == "targeted" and comparison:
        return gettext("Repair …"), f"{HOME}/comparison/{comparison.data['id']}?repair=all&entity={entity}"
    if mode == "full":
        return gettext("Sync …"), f"{HOME}/entities/{entity}"
    if mode:
        return None
    if advice["command"].startswith("tds runs"):
        return gettext("The run"), f"{HOME}/runs?state=held&entity={entity}"
    return gettext("Dead letters"), f"{HOME}/dead-letters?entity={entity}"


def progress_of(comparison: dict[str, Any], now: datetime) -> tuple[float, float | None]:
    """How much of a running comparison is read, 0 to 1, and about how many seconds are left; None: not known yet."""
    parts = comparison["parts"]
    expected = sum(part["expected_count"] or part["read_count"] or 1 for part in parts)
    read = sum(
        (part["expected_count"] or part["read_count"] or 1) if part["ended_at"]
        else min(part["read_count"], part["expected_count"] or part["read_count"])
        for part in parts
    )  # fmt: skip
    share = read / expected if expected else 0.0
    elapsed = (now - datetime.fromisoformat(comparison["requested_at"])).total_seconds()
    is_known = 0.02 <= share < 1 and not any(part["is_put_off"] for part in parts)
    return share, math.ceil(elapsed * (1 - share) / share) if is_known else None


def _score_chart(comparisons: Answer, marks: list[Mark]) -> tuple[Any, list[tuple[Any, ...]]]:
    """The scores of the comparisons of the last 30 days, and the same as rows."""
    since = datetime.now(UTC) - timedelta(days=_CHART_DAYS)
    ended = [each for each in comparisons.items if each["ended_at"] and each["score"] is not None]
    scored = [each for each in reversed(ended) if datetime.fromisoformat(each["ended_at"]) >= since]
    points = [(each["ended_at"], float(each["score"])) for each in scored]
    title = gettext("Score of each comparison, 30 days")
    drawn = time_chart([Series(title, points)], title=title, unit=" %", marks=marks, least=None)
    return drawn, [(each["ended_at"], each["score"], each["agreement"]) for each in reversed(scored)]
