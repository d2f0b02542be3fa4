"""Actions of pages: a posted form becomes a request to a route of the API, with everything that guards the route.

Names of form fields are those of the route's JSON. `name[]` makes a list, `name{}` is JSON text, `name?` is a checkbox,
true or false; `name.part` is a member of an object. Fields that begin with `_` are the form's own: `_back` (where to go
on), `_done` (what to say then).
"""

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from flask import Blueprint, Response, g, make_response, redirect, request, url_for

from tds_api.auth.authentication import current_identity, identify
from tds_api.auth.middleware import LOGIN_PATH
from tds_api.auth.page_auth import SignedCookie
from tds_api.auth.permissions import ITSELF, needs
from tds_api.pages.common.answer import Answer
from tds_api.pages.common.api_client import ApiClient, act
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import page
from tds_api.process_context import Context
from tds_core.auth.principal import CsrfError, UnauthorizedError
from tds_core.auth.sessions import csrf_token, is_csrf_token
from tds_models.auth import Role

HOME = "/dashboard"


def news_cookie(context: Context) -> SignedCookie:
    """The cookie that carries what an action came to, to the page after it."""
    return SignedCookie("tds_dashboard_news", HOME, context.settings.secret_key or _PROCESS_KEY, 60)


_PROCESS_KEY = secrets.token_hex(32)


def action_routes(context: Context) -> Blueprint:
    """The address all forms are posted to, with the method of the route; a form itself is always posted."""
    routes = Blueprint("dashboard actions", __name__, url_prefix=f"{HOME}/do")
    news = news_cookie(context)

    @routes.post("/<any(POST, PUT, PATCH, DELETE):method>/<path:path>")
    @needs(ITSELF)  # the route that is called checks it all
    def do(method: str, path: str) -> Response:
        """Do what the route does, and go back to the page; or show what is wrong, with all that was typed."""
        form = request.form
        answer = act(
            method,
            quote(path, safe="/:@!$&'()*+,;="),
            read_form({name: form.getlist(name) for name in form}),
            csrf_token=form.get("_csrf", ""),
            idempotency_key=form.get("_key", ""),
        )
        try:
            g.identity = identify(context, request)
        except UnauthorizedError:  # the session is over, perhaps by this very action
            return _go_on(f"{LOGIN_PATH}?next={quote(local(form.get('_back', '')))}")
        if not answer:
            return _refused(answer)
        if "_show" in form:
            return page(
                "action_result.html", answer=answer, back=local(form.get("_back", "")), title=form["_show"][:200]
            )
        response = _go_on(local(form.get("_back", "")))
        news.set(request, response, {"is_good": True, "says": form.get("_done", gettext("Done."))[:500]})
        return response

    return routes


def read_form(form: dict[str, list[str]]) -> dict[str, Any]:
    """The JSON arguments a form means; empty fields are left out. Raises nothing: what is malformed stays text."""
    arguments: dict[str, Any] = {}
    for name, values in form.items():
        if name.startswith("_"):
            continue
        value = values[-1]
        if name.endswith("[]"):
            arguments[name[:-2]] = [each for text in values for each in text.replace(",", " ").split()]
        elif name.endswith("{}"):
            arguments[name[:-2]] = _json_of(value)
        elif name.endswith("?"):
            arguments[name[:-1]] = value in ("on", "true", "1")
        elif value != "":
            arguments[name] = value
    return _nested({name: value for name, value in arguments.items() if value != []})


def _nested(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same with `name.part` as a member of the object `name`."""
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        outer, _, part = name.partition(".")
        if part:
            members = found.setdefault(outer, {})
            if isinstance(members, dict):
                members[part] = value
        else:
            found[name] = value
    return found


def local(path: str) -> str:
    """`path` if it is a page of the dashboard, else its first page."""
    is_ours = path.startswith(HOME) and "\\" not in path and "//" not in path and path.isprintable()
    return path if is_ours else HOME


def action_globals() -> dict[str, Any]:
    """What templates need for forms: the CSRF token, an action's address, and the role its reader lacks."""
    return {"csrf": _csrf, "press_key": _press_key, "lacks_role": _lacks_role, "action_url": _action_url}


def _csrf() -> str:
    token = current_identity().session_token
    return csrf_token(token) if token else ""


def _press_key() -> str:
    """What makes a form sent twice one action. A poll has none, so that what did not change stays the same text."""
    return "" if "HX-Request" in request.headers else secrets.token_urlsafe(16)


def _lacks_role(method: str, path: str) -> Role | None:
    return ApiClient.of_request().needed_role(method, path)


def _action_url(method: str, path: str) -> str:
    return url_for("dashboard actions.do", method=method, path=path.lstrip("/"))


def _json_of(text: str) -> Any:
    """The JSON as it is spelled, so that no number in it becomes a float on the way."""
    spelled = text.strip() or "null"
    try:
        msgspec.json.decode(spelled)
    except (msgspec.DecodeError, RecursionError):
        return text
    return msgspec.Raw(spelled.encode())


def _refused(answer: Answer) -> Response:
    """What is wrong: beside the form where the script posted it, else on a page that keeps what was typed."""
    if "HX-Request" in request.headers:
        return page("action_problem.html", status=answer.status, problem=_readable(answer.problem))
    fields = [
        (name, value)
        for name in request.form
        for value in request.form.getlist(name)
        if name not in ("_csrf", "_key") and "password" not in name and "secret" not in name
    ]
    return page(
        "action_refused.html", status=answer.status, problem=_readable(answer.problem), fields=fields,
        action=request.path, back=local(request.form.get("_back", "")), is_ours=_is_ours(),
    )  # fmt: skip


def _readable(problem: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A problem as a page says it: of a session's token its reader knows nothing."""
    said = problem or {}
    if said.get("code") != CsrfError.code:
        return said
    detail = gettext("This page is older than your log-in, or another site sent it. Load the page again, then repeat.")
    return {**said, "detail": detail}


def _is_ours() -> bool:
    token = current_identity().session_token
    return token is not None and is_csrf_token(request.form.get("_csrf", ""), token)


def _go_on(where: str) -> Response:
    if "HX-Request" in request.headers:
        response = make_response("", 204)
        response.headers["HX-Redirect"] = where
        return response
    return make_response(redirect(where, 303))
