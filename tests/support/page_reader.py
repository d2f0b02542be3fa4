"""A reader of the dashboard for tests: logged in, reads pages, and presses the buttons that stand on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Engine
from werkzeug.test import Client, TestResponse

from tds_core.auth import operators
from tds_core.auth.sessions import Lifetime, log_in
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.webhook_sender import Sender, sender_for

PASSWORD = "correct horse battery"
DO = "/dashboard/do"


class _Forms(HTMLParser):
    """The hidden fields of each form of a page, by its action; several forms may share one."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, list[str]]]] = []
        self._in_form = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((given.get("action", ""), {}))
            self._in_form = True
        elif tag == "input" and self._in_form and given.get("type") == "hidden":
            self.forms[-1][1].setdefault(given["name"], []).append(given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._in_form = False


class Reader:
    """One person with a browser that runs no script."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get(self, path: str, **query: Any) -> TestResponse:
        """GET a page."""
        joined = f"{path}{'&' if '?' in path else '?'}{urlencode(query)}" if query else path
        return self.client.get(joined)

    def json(self, path: str, **query: Any) -> Any:
        """What stands behind a page."""
        return self.get(path, format="json", **query).json

    def offers(self, path: str, action: str) -> bool:
        """Whether the page at `path` has a form that does `action` ("POST queue/pause")."""
        return any(address == _address(action) for address, _ in self._forms(path))

    def press(self, path: str, action: str, **fields: Any) -> TestResponse:
        """Fill in and press a form of the page at `path`; `fields` join or replace its hidden ones."""
        hidden = next(fields for address, fields in self._forms(path) if address == _address(action))
        return self.client.post(_address(action), data={**hidden, **fields})

    def post(self, action: str, **fields: Any) -> TestResponse:
        """Post to an action without its page, and so without its token."""
        return self.client.post(_address(action), data=fields)

    def _forms(self, path: str) -> list[tuple[str, dict[str, list[str]]]]:
        parser = _Forms()
        parser.feed(self.get(path).text)
        return parser.forms


def _address(action: str) -> str:
    method, path = action.split(" ")
    return f"{DO}/{method}/{path}"


class Pages:
    """The dashboard of one application, for people of every role."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.viewer, self.operator, self.admin = (self._reader(role) for role in Role)

    def _reader(self, role: Role) -> Reader:
        engine = self.sender.engine
        with session_scope(engine) as session:
            operators.create_operator(session, name=f"the-{role}", role=role, by="test", password=PASSWORD)
        begun = log_in(
            lambda: session_scope(engine), name=f"the-{role}", password=PASSWORD, lifetime=Lifetime(3600, 3600),
            address=None,
        )  # fmt: skip
        client = self.sender.app.test_client()
        client.set_cookie("tds_session", begun.token, domain="localhost")
        return Reader(client)


@contextmanager
def pages_of(database: str, engine: Engine, **environ: str) -> Iterator[Pages]:
    """The pages of `database`, read by people of every role."""
    with sender_for(database, engine, **environ) as sender:
        yield Pages(sender)
