"""The log-in page, to which browsers are redirected when a page needs a log-in."""

from typing import Any
from urllib.parse import urlsplit

from flask import Request, Response, make_response, redirect, request

from tds_api.auth.action_log import API, ActionRecorder
from tds_api.auth.authentication import set_session_cookie
from tds_api.auth.middleware import LOGIN_PATH
from tds_api.auth.permissions import ANYBODY, needs
from tds_api.openapi import Blueprint
from tds_api.pages.common.page_rendering import page
from tds_api.process_context import Context
from tds_api.resources.sessions import begin_session
from tds_api.schemas.auth import LoginFormSchema
from tds_core.auth.principal import CsrfError, LoginRefusedError, TooManyRequestsError
from tds_core.auth.rate_limits import RateLimiter

AFTERWARDS = "/dashboard"
_HTML = {"content_type": "text/html"}


def login_routes(context: Context, rates: RateLimiter, recorder: ActionRecorder) -> Blueprint:
    """The page."""
    routes = Blueprint("login", __name__, url_prefix=LOGIN_PATH, description="Log in with a browser")

    @routes.get("")
    @needs(ANYBODY)
    @routes.response(200, description="The page", **_HTML)
    def show() -> Response:
        """A form for name and password."""
        return _form(request.args.get("next", ""))

    @routes.post("")
    @needs(ANYBODY)
    @routes.arguments(LoginFormSchema, location="form")
    @routes.response(303, description="Logged in, back to where it was asked for")
    @routes.alt_response(401, description="The form again, with what is wrong", **_HTML)
    @routes.alt_response(403, description="Another site's form")
    def log_in(form: dict[str, Any]) -> Response:
        """Log in and go back."""
        if not is_same_origin(request):
            raise CsrfError("This form came from another site.")
        try:
            begun = begin_session(context, rates, recorder, name=form["name"], password=form["password"])
        except (LoginRefusedError, TooManyRequestsError) as error:
            return _form(form["next"], problem=str(error), status=401)
        response = make_response(redirect(local(form["next"]), 303))
        set_session_cookie(request, response, begun, context.settings)
        return response

    return routes


def is_same_origin(request: Request) -> bool:
    """Whether a form was sent by our own page, by the Origin header that browsers send."""
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host


def local(path: str) -> str:
    """`path` if it is a page or within the API of this host, else the dashboard."""
    is_ours = path.startswith((API, AFTERWARDS)) and "\\" not in path and "//" not in path and path.isprintable()
    return path if is_ours else AFTERWARDS


def _form(next_path: str, *, problem: str = "", status: int = 200) -> Response:
    news = {"is_good": False, "says": problem} if problem else None
    return page("login.html", status=status, news=news, following=local(next_path))
