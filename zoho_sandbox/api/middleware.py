"""The checks every API call passes: token, organisation, quota and faults, in the order Zoho makes them."""

import time

from flask import Blueprint, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from zoho_sandbox.api.faulty_responses import early_answer, outage_fault, spoil
from zoho_sandbox.api_errors import (
    RefusalError,
    internal,
    invalid_url,
    unauthenticated,
    unauthorized,
    wrong_organization,
)
from zoho_sandbox.json_responses import refusal_answer
from zoho_sandbox.record import BOOKS
from zoho_sandbox.sandbox import Sandbox

_SCHEME = "Zoho-oauthtoken "
_VERBS = {"GET": "READ", "POST": "CREATE", "PUT": "UPDATE", "DELETE": "DELETE"}


def current_sandbox() -> Sandbox:
    sandbox: Sandbox = current_app.extensions["sandbox"]
    return sandbox


def guard(api: Blueprint, product: str) -> None:
    """Put the gate before every route of `api`, whose scopes start with `product` (ZohoBooks, ZohoInventory)."""

    def enter() -> Response | None:
        sandbox = current_sandbox()
        if kind := sandbox.outage.kind():
            g.fault = outage_fault(sandbox.outage, kind)
            # What is truncated is a real answer; the others know none.
            if kind != "truncated":
                return early_answer(g.fault, sandbox.quota.calls_per_day)
        _check_token(product)
        _check_organization(sandbox)
        sandbox.quota.enter(product)
        g.admitted = True
        g.setdefault("fault", sandbox.faults.draw(request.path, _page_listed()))
        return early_answer(g.fault, sandbox.quota.calls_per_day) if g.fault else None

    def leave(answer: Response) -> Response:
        sandbox = current_sandbox()
        if sandbox.rate_limit_headers and sandbox.quota.calls_per_day and g.get("admitted"):
            answer.headers.update(sandbox.quota.headers(product))
        fault = g.get("fault")
        return spoil(fault, answer) if fault and answer.status_code < 300 and not answer.is_streamed else answer

    def done(_error: BaseException | None) -> None:
        if g.pop("admitted", False):
            current_sandbox().quota.leave()

    api.before_request(enter)
    api.after_request(leave)
    api.teardown_request(done)
    api.register_error_handler(RefusalError, refusal_answer)


def answer_errors(error: Exception) -> Response | HTTPException:
    """Errors outside the routes: an unknown path is Zoho's code 5, a failure of our own its code 1000."""
    if isinstance(error, HTTPException):
        if error.code == 404:
            return refusal_answer(invalid_url())
        return refusal_answer(RefusalError(error.code or 500, 5, error.name))
    current_app.logger.exception("sandbox_failed path=%s", request.path)
    return refusal_answer(internal())


def note_call(answer: Response) -> Response:
    """Keep each call to the API and to the accounts server in the log, once it is answered."""
    if not request.path.startswith("/_control"):
        rule = request.url_rule.rule if request.url_rule else request.path
        fault, is_error = g.get("fault"), answer.status_code >= 300 and answer.is_json
        current_sandbox().call_log.note(
            method=request.method,
            path=request.path,
            # The accounts server may be sent secrets in the query.
            query="" if request.path.startswith("/oauth") else request.query_string.decode(errors="replace"),
            endpoint=f"{request.method} {rule}",
            status=0 if fault and fault.kind == "reset" else answer.status_code,
            code=(answer.get_json(silent=True) or {}).get("code") if is_error else None,
            at=round(time.time(), 3),
            seconds=round(time.monotonic() - g.arrived_at, 4),
        )
    return answer


def note_arrival() -> None:
    """Remember when a call came in."""
    g.arrived_at = time.monotonic()


def _page_listed() -> int | None:
    """The page a list call asks for; None for any other call."""
    if not (request.endpoint or "").endswith("_list"):
        return None
    page = request.args.get("page", "1")
    return int(page) if page.isdecimal() else 1


def _check_token(product: str) -> None:
    header = request.headers.get("Authorization", "")
    token = header.removeprefix(_SCHEME).strip()
    if not header.startswith(_SCHEME) or not token:
        raise unauthenticated()
    scope = current_sandbox().accounts.scope_of(token)
    if scope is None or not _allows(scope, product):
        raise unauthorized()


#: What the scopes call the modules that are not named like the path, by product where the products differ.
_RIGHTS = {
    "customers": "contacts",
    "vendors": "contacts",
    "itemdetails": "items",
    **dict.fromkeys(("users", "categories", "pricebooks", "locations", "organizations", "settings"), "settings"),
}
_BOOKS_RIGHTS = {**_RIGHTS, "items": "settings"}


def _allows(scope: str, product: str) -> bool:
    """Whether any granted scope reaches this module of this product with this verb."""
    granted = [part.strip().lower().split(".") for part in scope.replace(",", " ").split()]
    verb = _VERBS.get(request.method, "READ").lower()
    module = request.path.split("/")[3]
    right = (_BOOKS_RIGHTS if product == BOOKS else _RIGHTS).get(module, module)
    return any(
        part[0] == product.lower() and part[1] in {"fullaccess", right} and part[-1] in {"all", verb}
        for part in granted
        if len(part) == 3
    )


def _check_organization(sandbox: Sandbox) -> None:
    if request.path.rstrip("/").endswith("/organizations"):
        return
    organization_id = request.args.get("organization_id", "")
    if organization_id != sandbox.world.organization.id:
        raise wrong_organization(organization_id)
