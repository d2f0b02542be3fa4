"""Routes of webhooks and workflow rules, alike under both products."""

from collections.abc import Iterable
from typing import Any

from flask import Blueprint, Response, request

from zoho_sandbox.api.middleware import current_sandbox
from zoho_sandbox.api.request_body import written_payload
from zoho_sandbox.automation.webhooks import Webhook
from zoho_sandbox.automation.workflows import Workflow
from zoho_sandbox.json_responses import json_answer
from zoho_sandbox.list_query import page_wanted


def add_automation_routes(api: Blueprint) -> None:
    """Add them to one product."""
    hooks, rules = "/settings/webhooks", "/settings/workflows"
    api.add_url_rule(hooks, view_func=webhooks, methods=["GET"])
    api.add_url_rule(hooks, view_func=create_webhook, methods=["POST"])
    api.add_url_rule(f"{hooks}/<webhook_id>", view_func=webhook, methods=["GET"])
    api.add_url_rule(f"{hooks}/<webhook_id>", view_func=update_webhook, methods=["PUT"])
    api.add_url_rule(f"{hooks}/<webhook_id>", view_func=delete_webhook, methods=["DELETE"])
    api.add_url_rule(rules, view_func=workflows, methods=["GET"])
    api.add_url_rule(rules, view_func=create_workflow, methods=["POST"])
    api.add_url_rule(f"{rules}/<workflow_id>", view_func=workflow, methods=["GET"])
    api.add_url_rule(f"{rules}/<workflow_id>", view_func=update_workflow, methods=["PUT"])
    api.add_url_rule(f"{rules}/<workflow_id>", view_func=delete_workflow, methods=["DELETE"])
    api.add_url_rule(f"{rules}/<workflow_id>/<any(active,inactive):status>", view_func=switch, methods=["POST"])


def webhooks() -> Response:
    return _listed("webhooks", current_sandbox().automation.webhooks.values())


def webhook(webhook_id: str) -> Response:
    return _one("webhook", current_sandbox().automation.webhook(webhook_id), "success")


def create_webhook() -> Response:
    sandbox, payload = current_sandbox(), written_payload()
    with sandbox.world.lock:
        made = sandbox.automation.write_webhook(None, payload)
    return _one("webhook", made, "The webhook has been created.", 201)


def update_webhook(webhook_id: str) -> Response:
    sandbox, payload = current_sandbox(), written_payload()
    with sandbox.world.lock:
        changed = sandbox.automation.write_webhook(webhook_id, payload)
    return _one("webhook", changed, "The webhook has been updated.")


def delete_webhook(webhook_id: str) -> Response:
    sandbox = current_sandbox()
    with sandbox.world.lock:
        sandbox.automation.delete_webhook(webhook_id)
    return json_answer({"code": 0, "message": "The webhook has been deleted."})


def workflows() -> Response:
    return _listed("workflows", current_sandbox().automation.workflows.values())


def workflow(workflow_id: str) -> Response:
    return _one("workflow", current_sandbox().automation.workflow(workflow_id), "success")


def create_workflow() -> Response:
    sandbox, payload = current_sandbox(), written_payload()
    with sandbox.world.lock:
        made = sandbox.automation.write_workflow(None, payload)
    return _one("workflow", made, "The workflow has been created.", 201)


def update_workflow(workflow_id: str) -> Response:
    sandbox, payload = current_sandbox(), written_payload()
    with sandbox.world.lock:
        changed = sandbox.automation.write_workflow(workflow_id, payload)
    return _one("workflow", changed, "The workflow has been updated.")


def delete_workflow(workflow_id: str) -> Response:
    sandbox = current_sandbox()
    with sandbox.world.lock:
        sandbox.automation.delete_workflow(workflow_id)
    return json_answer({"code": 0, "message": "The workflow has been deleted."})


def switch(workflow_id: str, status: str) -> Response:
    sandbox = current_sandbox()
    with sandbox.world.lock:
        sandbox.automation.switch_workflow(workflow_id, status)
    return json_answer({"code": 0, "message": f"The workflow has been marked as {status}."})


def _one(key: str, record: Webhook | Workflow, message: str, status: int = 200) -> Response:
    return json_answer({"code": 0, "message": message, key: record.shown()}, status)


def _listed(key: str, records: Iterable[Webhook | Workflow]) -> Response:
    page, per_page = page_wanted(request.args)
    rows: list[dict[str, Any]] = [record.shown() for record in list(records)]
    start = (page - 1) * per_page
    context = {"page": page, "per_page": per_page, "has_more_page": len(rows) > start + per_page}
    return json_answer({"code": 0, "message": "success", key: rows[start : start + per_page], "page_context": context})
