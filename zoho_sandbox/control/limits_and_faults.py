"""Routes that set limits, faults of the API, outages, tokens, and how stock movements show."""

from typing import Any

import msgspec
from flask import Blueprint, Response

from zoho_sandbox.api.middleware import current_sandbox
from zoho_sandbox.api_faults import Appointment
from zoho_sandbox.control.request_parsing import body_as, changed
from zoho_sandbox.json_responses import json_answer
from zoho_sandbox.list_quirks import ListSwitches
from zoho_sandbox.oauth import TokenAnswer
from zoho_sandbox.outage import Kind
from zoho_sandbox.webhooks.faults import WebhookFaults


class Switch(msgspec.Struct, forbid_unknown_fields=True):
    """On or off."""

    on: bool


class OutageWanted(msgspec.Struct, forbid_unknown_fields=True):
    """How the API shall fail, for how long, and whether the accounts server fails with it."""

    kind: Kind
    seconds: float
    accounts: bool = True


class ListsWanted(msgspec.Struct, forbid_unknown_fields=True):
    """How the lists of one module behave from now on."""

    module: str
    switches: ListSwitches = ListSwitches()


class OddRecord(msgspec.Struct, forbid_unknown_fields=True):
    """A record that is sent as this text, in lists and in details, and of when it says it was changed."""

    module: str
    id: str
    row: str | None = None
    detail: str | None = None
    modified_at: str = ""


class FaultQueue(msgspec.Struct, forbid_unknown_fields=True):
    """Several appointments at once."""

    faults: list[Appointment]


def add_switch_routes(control: Blueprint) -> None:
    control.add_url_rule("/limits", view_func=set_limits, methods=["POST"])
    control.add_url_rule("/faults", view_func=set_faults, methods=["POST"])
    control.add_url_rule("/faults", view_func=clear_faults, methods=["DELETE"])
    control.add_url_rule("/fault-once", view_func=fault_once, methods=["POST"])
    control.add_url_rule("/fault-queue", view_func=fault_queue, methods=["POST"])
    control.add_url_rule("/revoke-tokens", view_func=revoke_tokens, methods=["POST"])
    control.add_url_rule("/refresh-tokens", view_func=refresh_tokens, methods=["POST"])
    control.add_url_rule("/token-answers", view_func=appoint_token_answer, methods=["POST"])
    control.add_url_rule("/token-answers", view_func=clear_token_answers, methods=["DELETE"])
    control.add_url_rule("/outage", view_func=begin_outage, methods=["POST"])
    control.add_url_rule("/outage", view_func=end_outage, methods=["DELETE"])
    control.add_url_rule("/lists", view_func=set_lists, methods=["POST"])
    control.add_url_rule("/odd-record", view_func=set_odd_record, methods=["POST"])
    control.add_url_rule("/tokens", view_func=issue_token, methods=["POST"])
    control.add_url_rule("/stock-bumps-modified", view_func=stock_bumps_modified, methods=["POST"])


def set_limits() -> Response:
    """Set any limit by name (0 means none); `forget_used` starts the counts again."""
    sandbox, wanted = current_sandbox(), body_as(dict[str, Any])
    forget = wanted.pop("forget_used", False)
    sandbox.set_limits(wanted)
    if forget:
        sandbox.quota.forget()
    return json_answer(sandbox.limits())


def set_faults() -> Response:
    """Webhook faults by name; under `api` the chances of API faults, under `api_seconds` how slow slow is."""
    sandbox, wanted = current_sandbox(), body_as(dict[str, Any])
    if "api" in wanted:
        sandbox.faults.set_chances(wanted.pop("api"))
    if "api_seconds" in wanted:
        sandbox.faults.seconds = float(wanted.pop("api_seconds"))
    sandbox.webhooks.faults = changed(sandbox.webhooks.faults, wanted, WebhookFaults)
    return json_answer({"api": sandbox.faults.state(), "webhooks": sandbox.webhooks.faults})


def clear_faults() -> Response:
    sandbox = current_sandbox()
    sandbox.faults.clear()
    sandbox.outage.end()
    sandbox.webhooks.faults = WebhookFaults()
    return json_answer({"api": sandbox.faults.state(), "webhooks": sandbox.webhooks.faults})


def fault_once() -> Response:
    """Appoint one kind of fault for the next calls: {kind, count?, path_prefix?, seconds?}."""
    current_sandbox().faults.appoint(body_as(Appointment))
    return json_answer(current_sandbox().faults.state())


def fault_queue() -> Response:
    for appointment in body_as(FaultQueue).faults:
        current_sandbox().faults.appoint(appointment)
    return json_answer(current_sandbox().faults.state())


def revoke_tokens() -> Response:
    return json_answer({"revoked_count": current_sandbox().accounts.revoke_access_tokens()})


def refresh_tokens() -> Response:
    """Off ends every refresh token with all it gave out; on brings back the one the sandbox was started with."""
    accounts = current_sandbox().accounts
    if body_as(Switch).on:
        accounts.restore_refresh_token()
        return json_answer({"ended_count": 0})
    return json_answer({"ended_count": accounts.revoke_refresh_tokens()})


def appoint_token_answer() -> Response:
    """What the token endpoint answers next: {body, status?, count?}; with count 0 until cleared."""
    current_sandbox().accounts.appoint(body_as(TokenAnswer))
    return json_answer({"appointed": True})


def clear_token_answers() -> Response:
    current_sandbox().accounts.clear_appointed()
    return json_answer({"appointed": False})


def begin_outage() -> Response:
    wanted, outage = body_as(OutageWanted), current_sandbox().outage
    outage.begin(wanted.kind, wanted.seconds, accounts=wanted.accounts)
    return json_answer(outage.state())


def end_outage() -> Response:
    outage = current_sandbox().outage
    outage.end()
    return json_answer(outage.state())


def issue_token() -> Response:
    """A working access token without the accounts server, and outside its limits."""
    return json_answer({"access_token": current_sandbox().accounts.issue_freely()})


def stock_bumps_modified() -> Response:
    world = current_sandbox().world
    world.stock_bumps_modified = body_as(Switch).on
    return json_answer({"on": world.stock_bumps_modified})


def set_lists() -> Response:
    """How the lists of one module order, tell their end, and end: {module, switches: {...}}; without any as usual."""
    wanted, world = body_as(ListsWanted), current_sandbox().world
    if wanted.module not in world.pages:
        raise ValueError(f"unknown module {wanted.module!r}; known are {', '.join(world.pages)}")
    with world.lock:
        world.pages[wanted.module].switches = wanted.switches
    return json_answer(wanted.switches)


def set_odd_record() -> Response:
    """Let a record be sent as the text given, or be of another time: {module, id, row?, detail?, modified_at?}."""
    wanted, world = body_as(OddRecord), current_sandbox().world
    with world.lock:
        world.make_odd(wanted.module, wanted.id, row=wanted.row, detail=wanted.detail, modified_at=wanted.modified_at)
    return json_answer({"module": wanted.module, "id": wanted.id})
