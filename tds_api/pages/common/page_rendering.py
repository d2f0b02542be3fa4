"""HTML pages, rendered on the server with headers that block foreign content; a dashboard page also as JSON and CSV."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from flask import Response, make_response, render_template, request
from werkzeug.datastructures import MIMEAccept

from tds_api.pages.common.answer import Answer
from tds_api.pages.common.csv_export import csv_of

# Other sites get no referrer. Our own pages need one: under "no-referrer" a browser also leaves out the origin of a
# form, by which our forms are told from foreign ones.
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
#: Arguments of the page itself, which no route gets.
PAGE_ARGUMENTS: Final = frozenset({"format", "language"})


def page(template: str, *, status: int = 200, **values: Any) -> Response:
    """The page of `template`, rendered with `values`."""
    response = make_response(render_template(template, **values), status)
    response.headers.update(_HEADERS)
    return response


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFrame:
    """What surrounds the content of a page: its template and title, its list, and how often it is read again."""

    template: str
    title: str
    #: The part whose items are the rows of the CSV; none: no CSV.
    rows: str | None = None
    #: Seconds between two polls; none: it does not change by itself.
    refresh_seconds: int | None = None


def dashboard_page(frame: PageFrame, parts: Mapping[str, Answer], **values: Any) -> Response:
    """The page in the representation asked for: HTML, or the answers behind it as JSON or CSV.

    A poll gets the content alone, and 304 while it would be the same.
    """
    representation = _representation(frame)
    if representation == "json":
        return _json(parts)
    if representation == "csv":
        return _csv(frame, parts)
    is_fragment = "HX-Request" in request.headers
    status = 200 if is_fragment else _status(parts)
    response = page(frame.template, status=status, frame=frame, is_fragment=is_fragment, **parts, **values)
    response.headers["Vary"] = "HX-Request, Accept, Cookie"
    if is_fragment:
        _make_conditional(response)
    return response


def arguments() -> dict[str, Any]:
    """The arguments of the page's address, which are the filters of its route; the page's own are left out."""
    return {
        name: values if len(values) > 1 else values[0]
        for name, values in request.args.lists()
        if name not in PAGE_ARGUMENTS and values[0] != ""
    }


def _representation(frame: PageFrame) -> str:
    asked = request.args.get("format", "")
    if not asked:
        accepted: MIMEAccept = request.accept_mimetypes
        preferred = accepted.best_match(["text/html", "application/json", "text/csv"], "text/html")
        asked = {"application/json": "json", "text/csv": "csv"}.get(preferred, "html")
    return "html" if asked not in ("json", "csv") or (asked == "csv" and frame.rows is None) else asked


def _status(parts: Mapping[str, Answer]) -> int:
    """That of the first part where it was refused: a page without its subject is no success."""
    first = next(iter(parts.values()), None)
    return first.status if first is not None and not first else 200


def _json(parts: Mapping[str, Answer]) -> Response:
    members = [f'"{name}":{part.raw.decode() if part else _problem(part)}' for name, part in parts.items()]
    response = Response("{" + ",".join(members) + "}", _status(parts), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def _problem(part: Answer) -> str:
    from_route = part.data if isinstance(part.data, dict) else part.problem
    return make_response({"problem": from_route}).get_data(as_text=True)


def _csv(frame: PageFrame, parts: Mapping[str, Answer]) -> Response:
    part = parts[frame.rows or ""]
    if not part:
        return _json({frame.rows or "": part})
    response = Response(csv_of(part.items), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{frame.rows}.csv"'
    response.headers["Cache-Control"] = "no-store"
    if part.next_cursor:
        response.headers["X-Next-Cursor"] = part.next_cursor
    return response


def _make_conditional(response: Response) -> None:
    tag = blake2b(response.get_data(), digest_size=12).hexdigest()
    response.set_etag(tag, weak=True)
    if request.if_none_match.contains_weak(tag):
        response.status_code = 304
        response.set_data(b"")
