"""Around the whole application where traces are wanted: the first span of every request's trace."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tds_api.correlation import choose_correlation_id
from tds_api.webhooks import METHODS, REFUSAL_KEY, WEBHOOKS
from tds_core import tracing

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Traced:
    """A WSGI application whose requests are traced under their correlation id."""

    def __init__(self, behind: "WSGIApplication") -> None:
        self._behind = behind

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if REFUSAL_KEY in environ:  # its trace began before Flask was asked
            return self._behind(environ, start_response)
        thread = environ["HTTP_X_CORRELATION_ID"] = choose_correlation_id(environ)
        path = str(environ.get("PATH_INFO", ""))
        method = str(environ["REQUEST_METHOD"])
        name = "webhook" if path.startswith(WEBHOOKS) and method in METHODS else f"request {method}"
        with tracing.span(name, thread=thread, begins=True, **{"url.path": path[:200]}):
            return self._behind(environ, start_response)
