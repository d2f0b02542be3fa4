"""Webhook rules, and the record of what was delivered."""

from flask import Blueprint, Response, request

from zoho_sandbox.api.middleware import current_sandbox
from zoho_sandbox.control.request_parsing import body_as
from zoho_sandbox.json_responses import json_answer
from zoho_sandbox.webhooks.rules import Rule


def add_webhook_routes(control: Blueprint) -> None:
    control.add_url_rule("/webhooks", view_func=rules, methods=["GET"])
    control.add_url_rule("/webhooks", view_func=set_rules, methods=["POST"])
    control.add_url_rule("/webhooks", view_func=remove_rules, methods=["DELETE"])
    control.add_url_rule("/deliveries", view_func=deliveries, methods=["GET"])
    control.add_url_rule("/flush", view_func=flush, methods=["POST"])


def rules() -> Response:
    return json_answer({"webhooks": current_sandbox().webhooks.rules()})


def set_rules() -> Response:
    """Replace all rules by a list of {module, event, url, secret?, format?, query?, headers?, body?, content_type?}."""
    current_sandbox().webhooks.set_rules(body_as(list[Rule]))
    return rules()


def remove_rules() -> Response:
    current_sandbox().webhooks.set_rules([])
    return rules()


def deliveries() -> Response:
    """The latest deliveries, oldest first: `?after=`, `limit=`, `kind=`, `record_id=`."""
    asked = request.args
    found = current_sandbox().webhooks.log.rows(
        after=int(asked.get("after", "0")),
        limit=int(asked.get("limit", "1000")),
        kind=asked.get("kind", ""),
        record_id=asked.get("record_id", ""),
    )
    return json_answer({"deliveries": found})


def flush() -> Response:
    """Wait until nothing is pending: {timeout_seconds?}; 504 when something still is."""
    wanted = body_as(dict[str, float])
    pending = current_sandbox().webhooks.flush(wanted.get("timeout_seconds", 30.0))
    return json_answer({"pending_count": pending}, 504 if pending else 200)
