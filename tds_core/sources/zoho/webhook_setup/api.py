"""Zoho's settings API: reads and changes webhooks and workflow rules."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from tds_core.errors import ContractError, PermissionMissingError
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.api_request import ApiCall
from tds_core.sources.zoho.oauth import AUTOMATION_SCOPES
from tds_core.sources.zoho.responses import ScopeError

WEBHOOKS, RULES = "settings/webhooks", "settings/workflows"
_PER_PAGE = 200
T = TypeVar("T")


class Webhook(msgspec.Struct, frozen=True):
    """A webhook of the organisation. Zoho never shows its secret. `url`: None where a list omits it."""

    webhook_id: str
    webhook_name: str = ""
    entity: str = ""
    url: str | None = None
    method: str = "POST"
    description: str = ""


class WorkflowAction(msgspec.Struct, frozen=True):
    """An immediate action of a rule."""

    action_type: str = ""
    action_id: str = ""


class WorkflowRule(msgspec.Struct, frozen=True):
    """A workflow rule and the change that triggers it. `instant_actions`: None where a list omits them."""

    workflow_id: str
    workflow_name: str = ""
    entity: str = ""
    rule_type: str = ""
    status: str = ""
    is_active: bool | None = None
    instant_actions: tuple[WorkflowAction, ...] | None = None

    @property
    def is_on(self) -> bool:
        """Whether it is active; a rule without a status is."""
        return self.status != "inactive" if self.is_active is None else self.is_active

    def calls(self, webhook_id: str) -> bool:
        """Whether it calls the webhook."""
        return WorkflowAction("webhook", webhook_id) in (self.instant_actions or ())


class ApiClient(Protocol):
    """What makes calls to Zoho; see `ZohoClient.ask`."""

    def ask(self, call: ApiCall) -> bytes:
        """The body of the answer; raises `SourceError`."""
        ...


class Automation:
    """Webhooks and rules of the organisation. All methods raise `SourceError`; `ScopeError` names missing scopes."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def webhooks(self) -> list[Webhook]:
        """All webhooks of the organisation."""
        return [_read(row, Webhook) for row in self._rows(WEBHOOKS, "webhooks")]

    def rules(self) -> list[WorkflowRule]:
        """All workflow rules of the organisation."""
        return [_read(row, WorkflowRule) for row in self._rows(RULES, "workflows")]

    def webhook(self, webhook_id: str) -> Webhook:
        """One webhook, whole."""
        return _read(self._ask("GET", WEBHOOKS, webhook_id).get("webhook"), Webhook)

    def rule(self, workflow_id: str) -> WorkflowRule:
        """One rule, whole."""
        return _read(self._ask("GET", RULES, workflow_id).get("workflow"), WorkflowRule)

    def write_webhook(self, body: Mapping[str, Any], webhook_id: str = "") -> Webhook:
        """Create a webhook, or change the one of that id. Raises NameTakenError."""
        answer = self._ask("PUT" if webhook_id else "POST", WEBHOOKS, webhook_id, body)
        return _read(answer.get("webhook"), Webhook)

    def write_rule(self, body: Mapping[str, Any], workflow_id: str = "") -> WorkflowRule:
        """Create a rule, or change the one of that id."""
        answer = self._ask("PUT" if workflow_id else "POST", RULES, workflow_id, body)
        return _read(answer.get("workflow"), WorkflowRule)

    def activate(self, workflow_id: str) -> None:
        """Switch a rule on."""
        self._ask("POST", RULES, f"{workflow_id}/active")

    def delete_webhook(self, webhook_id: str) -> None:
        """Delete a webhook; Zoho refuses while a rule calls it."""
        self._ask("DELETE", WEBHOOKS, webhook_id)

    def delete_rule(self, workflow_id: str) -> None:
        """Delete a rule; its webhook stays."""
        self._ask("DELETE", RULES, workflow_id)

    def _rows(self, path: str, key: str) -> Iterator[Any]:
        page = 1
        while True:
            answer = self._ask("GET", path, "", None, page=str(page), per_page=str(_PER_PAGE))
            yield from answer.get(key, [])
            if not (answer.get("page_context") or {}).get("has_more_page"):
                return
            page += 1

    def _ask(
        self, method: str, path: str, under: str, body: Mapping[str, Any] | None = None, **parameters: str
    ) -> dict[str, Any]:
        whole = f"{path}/{under}" if under else path
        call = ApiCall("books", path, whole, parameters, Traffic.OPERATOR, method, body)
        try:
            return msgspec.json.decode(self._client.ask(call), type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise ContractError(f"{path}: {error}") from None
        except PermissionMissingError as error:
            raise ScopeError(
                f"{error} Setting up webhooks needs {', '.join(AUTOMATION_SCOPES)}."
                " Connect again with them: tds zoho connect --webhooks",
                after_seconds=error.after_seconds,
            ) from None


def _read(row: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(row, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ContractError(f"a {kind.__name__.lower()} of Zoho cannot be read: {error}") from None
