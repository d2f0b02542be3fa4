"""The pages of dead letters: problems and letters, one letter, and retries of many with their preview and progress."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec
from flask import Blueprint, Response, request

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.answer import Answer
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.call_costs import CallCost, call_costs
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.masking import MASK, masked, personal_names
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_core.dead_letters.queries import STATES
from tds_models.auth import Role
from tds_models.entities import ENTITIES

PATH: Final = f"{HOME}/dead-letters"
#: The criteria of a selection, as the routes name them.
CRITERIA: Final = ("entity", "error_class", "fingerprint", "older_than_seconds", "per_minute")
_GROUP_FILTERS: Final = ("entity", "error_class", "fingerprint")


def dead_letter_pages() -> Blueprint:
    """Dead letters."""
    routes = Blueprint("dead letter pages", __name__, url_prefix=PATH)

    @routes.get("")
    @needs(Role.VIEWER)
    def letters() -> Response:
        """Problems and letters by the filters of the address; `tried`: the letter of a group that is retried first."""
        api, filters = ApiClient.of_request(), arguments()
        tried_id = str(filters.pop("tried", ""))
        groups = {name: filters.get(name) for name in _GROUP_FILTERS}
        parts = {
            "letters": api.get("dead-letter", **filters),
            "groups": api.get("dead-letter", group_by="fingerprint", limit=50, **groups),
            "batches": api.get("dead-letter/retry", limit=5),
        }
        if tried_id.isdigit():
            parts["tried"] = api.get(f"dead-letter/{tried_id}")
        frame = PageFrame(
            template="dead_letters.html", title=gettext("Dead letters"), rows="letters",
            refresh_seconds=2 if tried_id else 10,
        )  # fmt: skip
        return dashboard_page(
            frame, parts, entities=list(ENTITIES), states=STATES, tried_outcome=_last_retry(parts.get("tried"))
        )

    @routes.get("/<int:letter_id>")
    @needs(Role.VIEWER)
    def letter(letter_id: int) -> Response:
        """One letter: its record, what it died of and what to do, its retries, and the actions of operators."""
        api = ApiClient.of_request()
        found, is_revealed = _masked_letter(api, api.get(f"dead-letter/{letter_id}"))
        parts = {"letter": found}
        if found:
            parts["work"] = api.get("queue", entity=found.data["entity"], source_id=found.data["source_id"], limit=1)
        title = gettext("Dead letter %(number)s") % {"number": letter_id}
        frame = PageFrame(template="dead_letter.html", title=title, refresh_seconds=3)
        return dashboard_page(frame, parts, record=_record_text(found), is_revealed=is_revealed, MASK=MASK)

    _batch_pages(routes)
    return routes


def _batch_pages(routes: Blueprint) -> None:
    @routes.get("/retry")
    @needs(Role.VIEWER)
    def retry() -> Response:
        """What a retry of the selection in the address would cost; the form below it carries that selection.

        Without a selection there is only the question for one.
        """
        api, selection = ApiClient.of_request(), _selection()
        frame = PageFrame(template="dead_letter_retry.html", title=gettext("Retry dead letters"))
        if not selection:
            return dashboard_page(frame, {}, selection=selection)
        preview, quota = api.ask("dead-letter/retry/preview", sample=0, **selection), api.get("zoho/quota")
        parts = {"preview": preview, "quota": quota}
        return dashboard_page(frame, parts, selection=selection, costs=_costs(preview, quota))

    @routes.get("/batches")
    @needs(Role.VIEWER)
    def batches() -> Response:
        """Retries of many, the newest first."""
        frame = PageFrame(
            template="dead_letter_batches.html", title=gettext("Retries of many"), rows="batches", refresh_seconds=3
        )
        return dashboard_page(frame, {"batches": ApiClient.of_request().get("dead-letter/retry", **arguments())})

    @routes.get("/batches/<int:batch_id>")
    @needs(Role.VIEWER)
    def batch(batch_id: int) -> Response:
        """The progress of one retry of many, and what its letters came to."""
        api = ApiClient.of_request()
        parts = {
            "batch": api.get(f"dead-letter/retry/{batch_id}"),
            "letters": api.get("dead-letter", batch_id=batch_id, state="all", **arguments()),
        }
        title = gettext("Retry %(number)s") % {"number": batch_id}
        frame = PageFrame(template="dead_letter_batch.html", title=title, rows="letters", refresh_seconds=2)
        return dashboard_page(frame, parts)


def _selection() -> dict[str, Any]:
    """The selection in the address; nothing given stays nothing, which the routes refuse."""
    selection: dict[str, Any] = {name: request.args.get(name, "").strip() for name in CRITERIA}
    selection["ids"] = [each for each in request.args.getlist("ids") if each]
    selection["everything"] = True if request.args.get("everything") == "true" else None
    return {name: value for name, value in selection.items() if value not in (None, "", [])}


def _costs(preview: Answer, quota: Answer) -> list[CallCost]:
    return call_costs(preview.data["most_calls"], preview.data["least_calls"], quota) if preview else []


def _last_retry(letter: Answer | None) -> Mapping[str, Any] | None:
    """The last retry of a letter."""
    return letter.data["revivals"][-1] if letter and letter.data["revivals"] else None


def _masked_letter(api: ApiClient, letter: Answer) -> tuple[Answer, bool]:
    """The letter with its record masked, unless its reader revealed the personal data of that record."""
    if not letter:
        return letter, False
    entity, source_id = letter.data["entity"], str(letter.data["source_id"])
    reveal = api.get(f"entities/{entity}/{quote(source_id, safe='')}/reveal")
    is_revealed = bool(reveal) and reveal.data["until"] is not None
    return (letter if is_revealed else masked(letter, personal_names(entity))), is_revealed


class _Record(msgspec.Struct):
    record: msgspec.Raw = msgspec.Raw(b"null")


def _record_text(letter: Answer) -> str:
    """The record of a letter as JSON text; its numbers stay as they are spelled."""
    record = bytes(msgspec.json.decode(letter.raw, type=_Record).record) if letter else b"null"
    return "" if record == b"null" else msgspec.json.format(record, indent=2).decode()
