"""The layout of the dashboard: its navigation, the assets, and what every template may call."""

import gzip
import mimetypes
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, g, make_response, redirect, request
from werkzeug.exceptions import NotFound

from tds_api.auth.authentication import current_identity
from tds_api.auth.permissions import ANYBODY, needs
from tds_api.http.problems import PROBLEM
from tds_api.pages.common.actions import HOME, action_globals, local, news_cookie
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.formats import FILTERS
from tds_api.pages.common.i18n import LANGUAGE_COOKIE, LANGUAGES, direction, gettext, language, ngettext
from tds_api.pages.common.page_rendering import page
from tds_api.process_context import Context

THEME_COOKIE, THEMES = "tds_theme", ("light", "dark")
_PREFERENCES: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    (LANGUAGE_COOKIE, "language", tuple(LANGUAGES)),
    (THEME_COOKIE, "theme", THEMES),
)
_STATIC = Path(__file__).resolve().parents[2] / "static"
_YEAR_SECONDS = 365 * 86_400


def N_(text: str) -> str:  # noqa: N802 (the name by which texts are found for the catalogue)
    """Mark a text for the catalogue; it is translated where it is shown."""
    return text


@dataclass(frozen=True, slots=True)
class Entry:
    """One page of the navigation; `key` opens it after `g`; `commands` show and do the same, without `tds`."""

    path: str
    title: str
    key: str = ""
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Pages that belong together."""

    title: str
    entries: tuple[Entry, ...]


NAVIGATION: Final = (
    Section(N_("At a glance"), (
        Entry("/dashboard", N_("Overview"), "o"),
        Entry("/dashboard/alerts", N_("Alerts"), "a", commands=("alerts",)),
        Entry("/dashboard/scorecard", N_("Scorecard")),
    )),
    Section(N_("Data"), (
        Entry("/dashboard/entities", N_("Entities"), "e"),
        Entry("/dashboard/comparison", N_("Comparison"), "c", commands=("compare",)),
        Entry("/dashboard/validation", N_("Validation"), commands=("validate",)),
        Entry("/dashboard/findings", N_("Findings"), commands=("findings",)),
        Entry("/dashboard/statistics", N_("Statistics"), "s", commands=("stats",)),
    )),
    Section(N_("Work"), (
        Entry("/dashboard/runs", N_("Runs"), "r", commands=("runs",)),
        Entry("/dashboard/queue", N_("Queue"), "q", commands=("queue",)),
        Entry("/dashboard/dead-letters", N_("Dead letters"), "d", commands=("dead-letter",)),
        Entry("/dashboard/webhooks", N_("Webhooks"), "w", commands=("zoho webhooks",)),
        Entry("/dashboard/schedules", N_("Schedules"), commands=("schedule",)),
    )),
    Section(N_("Running"), (
        Entry("/dashboard/quota", N_("Quota"), "u", commands=("zoho quota",)),
        Entry("/dashboard/breakers", N_("Breakers"), "b", commands=("breakers",)),
        Entry("/dashboard/workers", N_("Workers"), commands=("workers",)),
        Entry("/dashboard/healing", N_("Healing"), commands=("heal",)),
        Entry("/dashboard/subscriptions", N_("Subscriptions"), commands=("subscriptions",)),
    )),
    Section(N_("Administration"), (
        Entry("/dashboard/configuration", N_("Settings"), commands=("config",)),
        Entry("/dashboard/operators", N_("Operators and keys")),
        Entry("/dashboard/audit", N_("Audit trail"), "t", commands=("audit",)),
        Entry("/dashboard/set-up", N_("Set-up"), commands=("zoho connect", "zoho status")),
    )),
)  # fmt: skip

_COMMAND: Final = re.compile(r"\btds ((?:zoho )?[a-z-]+)")
_BY_COMMAND: Final = {
    command: entry for section in NAVIGATION for entry in section.entries for command in entry.commands
}


def page_of_command(hint: str) -> Entry | None:
    """The page that shows and does what the first command of a hint does, of those that have a page."""
    named = (_BY_COMMAND.get(command) for command in _COMMAND.findall(hint))
    return next((entry for entry in named if entry), None)


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    compressed: bytes
    digest: str
    content_type: str


@cache
def _asset(name: str) -> _Asset:
    path = (_STATIC / name).resolve()
    if not path.is_relative_to(_STATIC) or not path.is_file():
        raise NotFound
    body = path.read_bytes()
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return _Asset(body, gzip.compress(body, 9, mtime=0), sha256(body).hexdigest()[:16], content_type)


def asset_url(name: str) -> str:
    """The address of a file of the pages, which changes with its content, so that browsers keep it for good."""
    return f"{HOME}/assets/{_asset(name).digest}/{name}"


def layout_routes() -> Blueprint:
    """Assets, and the reader's preferences."""
    routes = Blueprint("dashboard layout", __name__, url_prefix=HOME)

    @routes.get("/assets/<digest>/<path:name>")
    @needs(ANYBODY)
    def asset(digest: str, name: str) -> Response:
        """A style sheet, script or picture of the pages."""
        stored = _asset(name)
        is_gzip = request.accept_encodings["gzip"] > 0
        response = Response(stored.compressed if is_gzip else stored.body, content_type=stored.content_type)
        if is_gzip:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        lasts = f"public, max-age={_YEAR_SECONDS}, immutable" if digest == stored.digest else "no-cache"
        response.headers["Cache-Control"] = lasts
        return response

    @routes.get("/preferences")
    @needs(ANYBODY)
    def preferences() -> Response:
        """Keep the reader's language or colours in a cookie, and go back."""
        response = make_response(redirect(_back_to(request.args.get("back", "")), 303))
        for cookie, name, known in _PREFERENCES:
            value = request.args.get(name, "")
            if value in known:
                response.set_cookie(cookie, value, max_age=_YEAR_SECONDS, path="/", httponly=True, samesite="Lax")
            elif value:
                response.delete_cookie(cookie, path="/")
        return response

    return routes


def install_layout(app: Flask, context: Context) -> None:
    """Give the templates their filters, their texts, and what the layout calls."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(FILTERS)
    news = news_cookie(context)

    def take_news() -> Any:
        value = news.read(request)
        if value:
            g.drop_news = True
        return value

    def drop_news(response: Response) -> Response:
        if g.get("drop_news"):
            news.delete(response)
        return response

    app.after_request(drop_news)
    app.after_request(problem_page)
    app.jinja_env.globals.update(
        action_globals(), NAVIGATION=NAVIGATION, LANGUAGES=LANGUAGES, language=language, direction=direction,
        asset=asset_url, take_news=take_news, theme=_theme, preference_url=_preference_url, is_current=_is_current,
        now=lambda: f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", format_url=lambda name: with_arguments(format=name),
        with_arguments=with_arguments, switches_off=_switches_off, page_of_command=page_of_command,
    )  # fmt: skip
    app.context_processor(lambda: {"me": current_identity().principal} if "identity" in g else {})


def problem_page(response: Response) -> Response:
    """A refusal as a page, for a browser that asked for a page of the dashboard; the problem document for programs."""
    is_page = request.path == HOME or request.path.startswith(f"{HOME}/")
    if response.content_type != PROBLEM or not is_page or not _prefers_html():
        return response
    shown = page("problem.html", status=response.status_code, problem=response.get_json(force=True))
    for name, value in response.headers:
        if name.lower() not in ("content-type", "content-length"):
            shown.headers.setdefault(name, value)
    return shown


def _prefers_html() -> bool:
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def with_arguments(**changes: Any) -> str:
    """The address of this page with other arguments; None removes one."""
    arguments = {name: values for name, values in request.args.lists() if name not in changes and name != "format"}
    arguments.update({name: [str(value)] for name, value in changes.items() if value is not None})
    query = urlencode(arguments, doseq=True)
    return f"{request.path}?{query}" if query else request.path


def _theme() -> str:
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""


def _preference_url(**choice: str) -> str:
    return f"{HOME}/preferences?{urlencode({**choice, 'back': request.full_path.rstrip('?')})}"


def _back_to(path: str) -> str:
    is_login = path.startswith("/api/tds/login") and "//" not in path and "\\" not in path and path.isprintable()
    return path if is_login else local(path)


def _is_current(path: str) -> bool:
    return request.path == path if path == HOME else request.path == path or request.path.startswith(f"{path}/")


def _switches_off() -> list[dict[str, Any]]:
    """The protections that are switched off, for the banner of every page."""
    health = ApiClient.of_request().get("health")
    return list(health.data.get("switched_off", ())) if health and isinstance(health.data, dict) else []
