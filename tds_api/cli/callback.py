"""A web page of a minute's life on loopback: where Zoho's consent page sends the browser back to, with a code."""

import secrets
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from tds_core.errors import ConfigError
from tds_core.sources.errors import AuthError

PATH = "/callback"
_THANKS = b"<!doctype html><title>TDS</title><p>Received. You can close this page and go back to the terminal."


@dataclass(frozen=True, slots=True)
class Consent:
    """What the consent page sent: the code, and the accounts server of the person who agreed."""

    code: str
    accounts_url: str


class CallbackPage:
    """Listens on loopback from its making on; `wait` ends it."""

    def __init__(self, port: int) -> None:
        self.state = secrets.token_urlsafe(24)
        self._answer: dict[str, str] = {}
        page = self

        class Receiver(BaseHTTPRequestHandler):
            """Takes one redirect."""

            def do_GET(self) -> None:
                """Keep the query of the redirect and say thanks."""
                parts = urlsplit(self.path)
                if parts.path != PATH:
                    self.send_error(404)
                    return
                page._answer = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(_THANKS)

            def log_message(self, *_: object) -> None:
                """Say nothing: the address holds the code."""

        try:
            self._server = HTTPServer(("127.0.0.1", port), Receiver)
        except OSError as error:
            raise ConfigError(f"Port {port} cannot be used ({error.strerror}). Choose another with --port.") from None
        self._server.timeout = 0.5
        self.redirect_uri = f"http://localhost:{self._server.server_port}{PATH}"

    def wait(self, seconds: float) -> Consent:
        """The consent, once it comes. Raises AuthError when it was refused, forged, or did not come in time."""
        deadline = time.monotonic() + seconds
        try:
            while not self._answer and time.monotonic() < deadline:
                self._server.handle_request()
        finally:
            self._server.server_close()
        if not self._answer:
            raise AuthError(f"Nobody came back from Zoho's consent page within {seconds:.0f} seconds. Try again.")
        if error := self._answer.get("error"):
            raise AuthError(f"Zoho's consent page said: {error}. An administrator of the organisation has to accept.")
        if not secrets.compare_digest(self._answer.get("state", ""), self.state):
            raise AuthError("The answer does not belong to this request (its state differs). Start again.")
        return Consent(self._answer.get("code", ""), self._answer.get("accounts-server", ""))
