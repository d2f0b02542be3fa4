"""The control interface: everything a test may look at or change, under `/_control`, without a token."""

from flask import Blueprint

from zoho_sandbox.api_errors import RefusalError
from zoho_sandbox.control.edits import add_edit_routes
from zoho_sandbox.control.inspection import add_view_routes
from zoho_sandbox.control.limits_and_faults import add_switch_routes
from zoho_sandbox.control.request_parsing import answer_bad_input, answer_refusal
from zoho_sandbox.control.webhooks import add_webhook_routes


def control_routes() -> Blueprint:
    """All control routes."""
    control = Blueprint("control", __name__, url_prefix="/_control")
    for add in (add_view_routes, add_switch_routes, add_webhook_routes, add_edit_routes):
        add(control)
    control.register_error_handler(ValueError, answer_bad_input)
    control.register_error_handler(RefusalError, answer_refusal)
    return control
