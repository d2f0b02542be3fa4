"""The API as pages use it: they read, and act, by routes of the same process, as the person who asked."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes, urlencode

import msgspec
from flask import Flask, Response, current_app, g, has_app_context, request
from psycopg2.errors import QueryCanceled
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from tds_api.auth.action_log import API
from tds_api.auth.authentication import CSRF_HEADER, Identity, current_identity
from tds_api.auth.idempotency import HEADER as IDEMPOTENCY_KEY
from tds_api.auth.middleware import check_permission
from tds_api.auth.permissions import ANYBODY, ITSELF, permission_of
from tds_api.http.problems import problem
from tds_api.pages.common.answer import Answer
from tds_api.pages.common.answer_cache import AnswerCache
from tds_models.auth import Role

#: How long a statement of a page may take; what takes longer is shown as "took too long".
STATEMENT_TIMEOUT_MS: Final = 2_000

_TOO_SLOW = "This took longer than 2 s and was stopped. Narrow it with a filter, or ask the API or the command line."


class ApiClient:
    """Reads routes of the API for one page, with the permissions of its reader; a refusal is an answer, too."""

    def __init__(self, app: Flask, identity: Identity) -> None:
        self._app, self._identity = app, identity

    @classmethod
    def of_request(cls) -> "ApiClient":
        """The client of the current request, which is authenticated."""
        return cls(current_app._get_current_object(), current_identity())  # type: ignore[attr-defined]

    def get(self, path: str, **query: Any) -> Answer:
        """GET `path` (below /api/tds/). Arguments that are None or empty are left out."""
        given = [(name, each) for name, value in query.items() for each in _values(value)]
        return self._ask(_environ("GET", path, query=urlencode(given)))

    def get_cached(self, path: str) -> Answer:
        """GET a route whose figures take long to count and are the same for every reader: at most a minute old."""
        if self.needed_role("GET", path):
            return self.get(path)
        cache: AnswerCache = self._app.extensions["tds_page_answers"]
        environ = _environ("GET", path)
        return cache.get(path, lambda: self._ask({**environ, "wsgi.input": BytesIO()}))

    def ask(self, path: str, **arguments: Any) -> Answer:
        """POST to a route that only answers and changes nothing: a preview."""
        body = msgspec.json.encode({name: value for name, value in arguments.items() if value not in (None, "", [])})
        return self._ask(_environ("POST", path, body=body))

    def _ask(self, environ: dict[str, Any]) -> Answer:
        address = environ["PATH_INFO"] + (f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else "")
        # A context of its own: what the route stores in `g` stays out of the page's.
        with self._app.app_context(), self._app.request_context(environ):
            g.identity, g.statement_timeout_ms = self._identity, STATEMENT_TIMEOUT_MS
            return _answer(address, self._view())

    def _view(self) -> Response:
        try:
            if request.routing_exception is not None:
                raise request.routing_exception
            permission = permission_of(self._app, str(request.endpoint))
            if permission not in (ANYBODY, ITSELF):
                check_permission(Identity(self._identity.principal), permission)
            view = self._app.view_functions[str(request.endpoint)]
            return self._app.make_response(view(**(request.view_args or {})))
        except OperationalError as error:
            if isinstance(error.orig, QueryCanceled):
                return problem(status=503, code="too_slow", detail=_TOO_SLOW)
            return self._app.make_response(self._app.handle_user_exception(error))
        except Exception as error:
            return self._app.make_response(self._app.handle_user_exception(error))

    def needed_role(self, method: str, path: str) -> Role | None:
        """The role a route needs that this reader lacks; None where the reader may call it."""
        adapter = self._app.url_map.bind("localhost")
        try:
            endpoint, _ = adapter.match(API + path, method)
        except HTTPException:
            return None
        permission = permission_of(self._app, endpoint)
        if permission in (ANYBODY, ITSELF) or self._identity.principal.may(Role(permission)):
            return None
        return Role(permission)


def act(method: str, path: str, arguments: Mapping[str, Any], *, csrf_token: str, idempotency_key: str) -> Answer:
    """Send an action to its route with all that guards it: permission, CSRF token, idempotency and the action log."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    environ = _environ(method, path, body=msgspec.json.encode(arguments))
    environ["HTTP_" + CSRF_HEADER.upper().replace("-", "_")] = csrf_token
    if idempotency_key:
        environ["HTTP_" + IDEMPOTENCY_KEY.upper().replace("-", "_")] = idempotency_key
    with app.app_context(), app.request_context(environ):
        return _answer(environ["PATH_INFO"], app.full_dispatch_request())


def limit_statements(connection: Connection) -> None:
    """Bound the statements of a transaction that a page began; those of other requests have limits of their own."""
    if has_app_context() and (milliseconds := g.get("statement_timeout_ms")):
        connection.exec_driver_sql(f"set local statement_timeout = {milliseconds:d}")


def _answer(address: str, response: Response) -> Answer:
    body = response.get_data()
    if body and not response.is_json:
        return Answer(address, 404, problem={"detail": "A page stands at this address, no route that answers JSON."})
    data = msgspec.json.decode(body) if body else None
    if response.status_code >= 400:
        document = data if isinstance(data, dict) else {}
        detail = document.get("detail") or "TDS is not well; its health says more."
        return Answer(address, response.status_code, data, {"detail": detail, **document})
    return Answer(address, response.status_code, data, raw=body or b"null")


def _values(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]


def _environ(method: str, path: str, *, query: str = "", body: bytes = b"") -> dict[str, Any]:
    """The environment of a request to the API by the sender of the current one."""
    kept = {name: value for name, value in request.environ.items() if not name.startswith("werkzeug.")}
    for name in ("HTTP_IF_NONE_MATCH", "CONTENT_TYPE", "HTTP_ACCEPT_ENCODING"):
        kept.pop(name, None)
    if body:
        kept["CONTENT_TYPE"] = "application/json"
    return {
        **kept,
        "REQUEST_METHOD": method,
        # WSGI has paths decoded, as the bytes of UTF-8.
        "PATH_INFO": unquote_to_bytes(API + path.lstrip("/")).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": quote(API + path.lstrip("/"), safe="/%:@!$&'()*+,;="),
        "HTTP_ACCEPT": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
    }
