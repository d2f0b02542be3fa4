"""The registry of webhooks and workflow rules: Zoho's caps on them, and the delivery rules they come to."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from zoho_sandbox.api_errors import RefusalError, invalid_value, missing
from zoho_sandbox.automation.webhooks import Parameters, Webhook, written_webhook
from zoho_sandbox.automation.workflows import EVENTS_OF, Workflow, written_workflow
from zoho_sandbox.webhooks.rules import Rule

RULES_MAX = 200
MODULE_RULES_MAX = 10


class AutomationRegistry:
    """Written and read by API calls; calls `changed` with the delivery rules in force. Call with the world locked."""

    def __init__(self, new_id: Callable[[], str], changed: Callable[[list[Rule]], None]) -> None:
        self.webhooks: dict[str, Webhook] = {}
        self.workflows: dict[str, Workflow] = {}
        self._new_id = new_id
        self._changed = changed

    def webhook(self, webhook_id: str) -> Webhook:
        """The webhook of that id, or Zoho's 1002."""
        if webhook_id not in self.webhooks:
            raise missing("Webhook")
        return self.webhooks[webhook_id]

    def workflow(self, workflow_id: str) -> Workflow:
        """The rule of that id, or Zoho's 1002."""
        if workflow_id not in self.workflows:
            raise missing("Workflow")
        return self.workflows[workflow_id]

    def write_webhook(self, webhook_id: str | None, payload: Mapping[str, Any]) -> Webhook:
        """Create (no id) or change a webhook; names are given once."""
        current = msgspec.to_builtins(self.webhook(webhook_id)) if webhook_id else {"webhook_id": self._new_id()}
        webhook = written_webhook(current, payload)
        for other in self.webhooks.values():
            if other.webhook_id != webhook.webhook_id and other.webhook_name == webhook.webhook_name:
                raise RefusalError(400, 107051, f'A webhook with the name "{webhook.webhook_name}" already exists.')
        self.webhooks[webhook.webhook_id] = webhook
        self._tell()
        return webhook

    def delete_webhook(self, webhook_id: str) -> None:
        """Delete a webhook no rule calls."""
        self.webhook(webhook_id)
        if any(webhook_id in workflow.webhook_ids for workflow in self.workflows.values()):
            raise RefusalError(400, 107053, "This webhook is associated with a workflow rule and cannot be deleted.")
        del self.webhooks[webhook_id]

    def write_workflow(self, workflow_id: str | None, payload: Mapping[str, Any]) -> Workflow:
        """Create (no id) or change a rule that calls at most one webhook, one of its own module."""
        current = msgspec.to_builtins(self.workflow(workflow_id)) if workflow_id else {"workflow_id": self._new_id()}
        workflow = written_workflow(current, payload)
        if len(workflow.webhook_ids) > 1:
            raise RefusalError(400, 107054, "Only 1 webhook can be associated with a workflow rule.")
        for webhook_id in workflow.webhook_ids:
            if self.webhook(webhook_id).entity != workflow.entity:
                raise invalid_value("instant_actions")
        self._check_room(workflow)
        self.workflows[workflow.workflow_id] = workflow
        self._tell()
        return workflow

    def switch_workflow(self, workflow_id: str, status: str) -> None:
        """Make a rule `active` or `inactive`."""
        workflow = msgspec.to_builtins(self.workflow(workflow_id)) | {"status": status}
        self.workflows[workflow_id] = msgspec.convert(workflow, Workflow)
        self._tell()

    def delete_workflow(self, workflow_id: str) -> None:
        """Delete a rule; its webhook stays."""
        self.workflow(workflow_id)
        del self.workflows[workflow_id]
        self._tell()

    def _check_room(self, workflow: Workflow) -> None:
        others = [rule for rule in self.workflows.values() if rule.workflow_id != workflow.workflow_id]
        if len(others) >= RULES_MAX:
            raise RefusalError(400, 107055, f"You can create only {RULES_MAX} workflow rules.")
        if sum(rule.entity == workflow.entity for rule in others) >= MODULE_RULES_MAX:
            raise RefusalError(400, 107056, f"You can create only {MODULE_RULES_MAX} workflow rules for a module.")

    def _tell(self) -> None:
        active = [workflow for workflow in self.workflows.values() if workflow.status == "active"]
        self._changed(
            [
                _rule(self.webhooks[webhook_id], event)
                for workflow in active
                for webhook_id in workflow.webhook_ids
                for event in EVENTS_OF[workflow.rule_type]
            ]
        )


def _rule(webhook: Webhook, event: str) -> Rule:
    """The delivery rule for one event of a workflow."""
    named = {"module": webhook.entity, "event": event, "url": webhook.url, "secret": webhook.secret}
    sent = {"method": webhook.method, "format": webhook.format, "body": webhook.raw_data}
    pairs = {
        "query": _pairs(webhook.query_parameters),
        "headers": _pairs(webhook.headers),
        "form": _pairs(webhook.form_data),
    }
    return msgspec.convert(named | sent | pairs, Rule)


def _pairs(parameters: Parameters) -> dict[str, str]:
    return {parameter.param_name: parameter.param_value for parameter in parameters}
