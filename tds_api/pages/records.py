"""The pages of one record: how it stands, its fields beside Zoho's, its timeline and its versions."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.answer import Answer
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.masking import MASK, answered, masked, personal_names
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_api.pages.record_fields import field_rows, label_of, names_of
from tds_core.explain.diagnosis import with_live_comparison
from tds_models.auth import Role
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

#: Steps of the timeline that the first page of a record shows.
_NEWEST_STEPS = 6


def record_pages() -> Blueprint:
    """One record."""
    routes = Blueprint("record pages", __name__, url_prefix=f"{HOME}/entities/<entity>/<source_id>")

    @routes.get("")
    @needs(Role.VIEWER)
    def record(entity: str, source_id: str) -> Response:
        """How the record stands, and its fields: now, as of a moment, or beside what Zoho says now."""
        asked = _asked(entity, source_id)
        as_of, is_live = with_zone(request.args.get("as_of", "")), request.args.get("live") == "1"
        story = asked.get("explain", limit=_NEWEST_STEPS)
        row = asked.get("entities")
        parts = {"story": story, "reveal": asked.reveal, "row": row}
        if as_of:
            parts["then"] = asked.get("entities", as_of=as_of)
        elif is_live:
            parts["live"] = asked.get("live")
            parts["story"] = _corrected(story, parts["live"])
        parts["compared"] = _compared(asked.declared, parts)
        frame = asked.frame(
            "record.html",
            rows="compared",
            refresh_seconds=None if as_of or is_live else 5,
            row=row,
        )
        return asked.page(frame, parts, tab="record", as_of=as_of)

    @routes.get("/timeline")
    @needs(Role.VIEWER)
    def timeline(entity: str, source_id: str) -> Response:
        """Everything that happened to the record, filtered by field and time, the newest steps first."""
        asked = _asked(entity, source_id)
        given = arguments()
        story = asked.get("explain", **{name: with_zone(v) if name in MOMENTS else v for name, v in given.items()})
        story = _without_personal_sentence(story, asked, given.get("field"))
        steps = answered(story, story.data["steps"][::-1]) if story else story
        is_newest = "cursor" not in given
        frame = asked.frame(
            "record_timeline.html", rows="steps", row=asked.get("entities"), refresh_seconds=5 if is_newest else None
        )
        names = [name for name, _ in names_of(asked.declared)]
        parts = {"story": story, "reveal": asked.reveal, "steps": steps}
        return asked.page(frame, parts, tab="timeline", field_names=names)

    @routes.get("/versions")
    @needs(Role.VIEWER)
    def versions(entity: str, source_id: str) -> Response:
        """The versions of the record, each with what it changed."""
        asked = _asked(entity, source_id)
        story = asked.get("explain", limit=1)
        parts = {"story": story, "reveal": asked.reveal, "versions": asked.get("entities", "history", **arguments())}
        frame = asked.frame("record_versions.html", rows="versions", row=asked.get("entities"))
        return asked.page(frame, parts, tab="versions")

    return routes


#: Arguments that are moments.
MOMENTS = ("since", "until", "as_of", "changed_since")


def with_zone(moment: Any) -> Any:
    """A moment of a form, which has no zone, in UTC; one with a zone, or given twice, stays as it is."""
    if not isinstance(moment, str):
        return moment
    has_zone = moment[10:].endswith(("Z", "z")) or any(sign in moment[10:] for sign in "+-")
    return moment if not moment or has_zone else f"{moment}Z" if "T" in moment else f"{moment}T00:00:00Z"


@dataclass(frozen=True, slots=True)
class _AskedRecord:
    """The record a page is about, read with its reader's permissions and masked unless its reader revealed it."""

    declared: Entity
    source_id: str
    api: ApiClient
    reveal: Answer

    @property
    def is_revealed(self) -> bool:
        return bool(self.reveal) and self.reveal.data["until"] is not None

    def get(self, route: str, more: str = "", **query: Any) -> Answer:
        """A route of this record, masked where it is to be."""
        path = f"{route}/{self.declared.name}/{quote(self.source_id, safe='')}{f'/{more}' if more else ''}"
        answer = self.api.get(path, **query)
        return answer if self.is_revealed else masked(answer, personal_names(self.declared.name))

    def frame(self, template: str, *, rows: str, row: Answer, refresh_seconds: int | None = None) -> PageFrame:
        label = label_of(row.data) if row else None
        title = f"{self.declared.title}: {label or self.source_id}"
        return PageFrame(template=template, title=title, rows=rows, refresh_seconds=refresh_seconds)

    def page(self, frame: PageFrame, parts: dict[str, Answer], **values: Any) -> Response:
        base = f"{HOME}/entities/{self.declared.name}/{quote(self.source_id, safe='')}"
        return dashboard_page(
            frame, parts, entity=self.declared.name, source_id=self.source_id, base=base, MASK=MASK,
            is_revealed=self.is_revealed, **values,
        )  # fmt: skip


def _asked(entity: str, source_id: str) -> _AskedRecord:
    """Raises NotFound for an entity TDS does not mirror."""
    if entity not in ENTITIES:
        raise NotFound(f"There is no entity {entity}.")
    api = ApiClient.of_request()
    reveal = api.get(f"entities/{entity}/{quote(source_id, safe='')}/reveal")
    return _AskedRecord(ENTITIES[entity], source_id, api, reveal)


def _compared(declared: Entity, parts: dict[str, Answer]) -> Answer:
    """The fields side by side, as far as their sides could be read."""
    other = parts.get("then") or parts.get("live")
    row = parts["row"]
    if other is None and not row:
        return row
    rows = field_rows(
        declared,
        row.data if row else {},
        then=parts["then"].data if parts.get("then") else None,
        live=parts["live"].data if parts.get("live") else None,
    )
    return answered(row if row else Answer(row.address, 200), rows)


def _corrected(story: Answer, live: Answer) -> Answer:
    """The story with a verdict that does not say equal where Zoho has just said otherwise."""
    if not story or not live:
        return story
    verdict = with_live_comparison(
        story.data["verdict"], live_verdict=live.data["verdict"], difference_count=len(live.data["differences"])
    )
    return answered(story, {**story.data, "verdict": verdict})


def _without_personal_sentence(story: Answer, asked: _AskedRecord, field: Any) -> Answer:
    """The timeline without the value of a personal field, which the sentence about it would say."""
    if not story or asked.is_revealed or field not in personal_names(asked.declared.name):
        return story
    sentence = gettext("Its value is masked. Reveal the personal data of this record to read it.")
    return answered(story, {**story.data, "verdict": {**story.data["verdict"], "field": sentence}})
