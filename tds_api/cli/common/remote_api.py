"""A remote TDS, which commands call over HTTP when TDS_URL (or --url) names one."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import requests

from tds_core.config.settings import load_settings
from tds_core.errors import TdsError

#: Longer than any answer takes; a connection is made in less.
ANSWER_SECONDS, CONNECT_SECONDS = 60.0, 5.0
LARGEST_PAGE = 500


class RemoteAwayError(TdsError):
    """The TDS that TDS_URL names does not answer, or something else answers there."""

    code = "remote_unreachable"
    retriable = True


class RemoteRefusedError(TdsError):
    """The TDS that TDS_URL names refused the request; `code` is that of its problem document."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, repr=False)
class Remote:
    """A remote TDS, called with an API key. Times in its responses become datetimes, as in local results."""

    url: str
    key: str

    def get(self, path: str, **query: Any) -> Any:
        """GET a document. Empty query values are left out."""
        return self._ask("GET", path, params=_query(query))

    def page(self, path: str, *, limit: int = LARGEST_PAGE, **query: Any) -> list[dict[str, Any]]:
        """The first `limit` rows of a list."""
        rows: list[dict[str, Any]] = self.get(path, limit=limit, **query)["items"]
        return rows

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST a change; see `change`."""
        return self.change("POST", path, body)

    def change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a change with an idempotency key, so that a repeat by the network changes nothing."""
        headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json"}
        return self._ask(method, path, data=msgspec.json.encode(body or {}), headers=headers)

    def _ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
        all_headers = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        try:
            response = requests.request(
                method,
                f"{self.url}/api/tds{path}",
                headers=all_headers,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,  # a key is for one place
                **more,
            )
        except requests.RequestException as error:
            kind = type(error).__name__
            raise RemoteAwayError(f"{self.url} does not answer ({kind}). Check TDS_URL.") from None
        return _document_of(response)


def remote() -> Remote | None:
    """The remote TDS that the settings name; None for the one of the local database."""
    settings = load_settings()
    if not settings.url:
        return None
    settings.require("TDS_API_KEY")
    return Remote(settings.url.rstrip("/").removesuffix("/api/tds"), settings.api_key)


def _document_of(response: requests.Response) -> Any:
    is_ours = "json" in response.headers.get("Content-Type", "")
    if response.status_code == 204:
        return None
    try:
        document = msgspec.json.decode(response.content) if is_ours else None
    except msgspec.DecodeError:
        document = None
    if document is None or 300 <= response.status_code < 400:
        raise RemoteAwayError(f"{response.url} answered {response.status_code}, and not as TDS does. Check TDS_URL.")
    if response.status_code >= 400:
        raise RemoteRefusedError(str(document.get("code")), _message(document))
    return _with_times(document)


def _message(document: Mapping[str, Any]) -> str:
    errors = document.get("errors")
    arguments = f" {msgspec.json.encode(errors).decode()}" if errors else ""
    return f"{document.get('detail')}{arguments}"


def _with_times(value: Any, key: str = "") -> Any:
    """The value with times as datetimes: they are under names that end in `_at`, as everywhere in TDS."""
    if isinstance(value, dict):
        return {name: _with_times(each, key if key.endswith("_at") else name) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_times(each, key) for each in value]
    if isinstance(value, str) and (key == "at" or key.endswith("_at")):
        return datetime.fromisoformat(value)
    return value


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    spelled: Iterable[tuple[str, Any]] = query.items()
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in spelled
        if value is not None and value != ""
    }
