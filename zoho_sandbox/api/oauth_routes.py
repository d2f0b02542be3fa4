"""Routes of the OAuth server; errors come with HTTP 200 and a body, as they do there."""

from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, g, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from zoho_sandbox.api.faulty_responses import early_answer, outage_fault, spoil
from zoho_sandbox.json_responses import JSON_TYPE, json_answer
from zoho_sandbox.oauth import FULL_ACCESS, Accounts, DeniedError

accounts_routes = Blueprint("accounts", __name__, url_prefix="/oauth")
_TOO_MANY = "You have made too many requests continuously. Please try again after some time."


def _accounts() -> Accounts:
    accounts: Accounts = current_app.extensions["sandbox"].accounts
    return accounts


def own_url() -> str:
    return request.host_url.rstrip("/")


@accounts_routes.errorhandler(DeniedError)
def _denied(denied: DeniedError) -> Response:
    if denied.status == 400:
        return json_answer({"error_description": _TOO_MANY, "error": denied.error, "status": "failure"}, 400)
    return json_answer({"error": denied.error}, denied.status)


@accounts_routes.before_request
def _fail_while_away() -> Response | None:
    sandbox = current_app.extensions["sandbox"]
    kind = sandbox.outage.kind(accounts=True)
    if kind is None:
        return None
    g.fault = outage_fault(sandbox.outage, kind)
    return None if kind == "truncated" else early_answer(g.fault, 0)


@accounts_routes.after_request
def _spoil_while_away(answer: Response) -> Response:
    fault = g.get("fault")
    return spoil(fault, answer) if fault and fault.kind == "truncated" else answer


@accounts_routes.get("/v2/auth")
def authorize() -> BaseResponse:
    """Consent is always given: back to the caller with a code."""
    asked = request.args
    if asked.get("response_type") != "code" or not asked.get("redirect_uri"):
        return json_answer({"error": "invalid_request"}, 400)
    _accounts().check_client(asked.get("client_id", ""), None)
    offline = asked.get("access_type") == "offline"
    code = _accounts().authorize(asked.get("scope", FULL_ACCESS), asked["redirect_uri"], offline)
    answer = {"code": code, "location": "us", "accounts-server": own_url()}
    if "state" in asked:
        answer["state"] = asked["state"]
    joint = "&" if "?" in asked["redirect_uri"] else "?"
    return redirect(asked["redirect_uri"] + joint + urlencode(answer))


@accounts_routes.post("/v2/token")
def token() -> Response:
    """Exchange a code, or refresh; an answer that was appointed comes first."""
    asked, accounts = request.values, _accounts()
    if appointed := accounts.appointed():
        kind = JSON_TYPE if appointed.body.lstrip()[:1] in {"{", "["} else "text/html"
        return Response(appointed.body, appointed.status, content_type=kind)
    accounts.check_client(asked.get("client_id", ""), asked.get("client_secret", ""))
    refresh_token: str | None = None
    match asked.get("grant_type"):
        case "authorization_code":
            access, refresh_token = accounts.exchange(asked.get("code", ""), asked.get("redirect_uri", ""))
        case "refresh_token":
            access = accounts.refresh(asked.get("refresh_token", ""))
        case _:
            raise DeniedError("general_error")
    body = {
        "access_token": access,
        "api_domain": own_url(),
        "token_type": "Bearer",
        "expires_in": accounts.token_seconds,
    }
    if accounts.tells_scope:
        body["scope"] = " ".join((accounts.scope_of(access) or "").replace(",", " ").split())
    return json_answer(body | ({"refresh_token": refresh_token} if refresh_token else {}))


@accounts_routes.post("/v2/token/revoke")
def revoke() -> Response:
    if not _accounts().revoke(request.values.get("token", "")):
        return json_answer({"error": "invalid_token"})
    return json_answer({"status": "success"})


@accounts_routes.get("/serverinfo")
def server_info() -> Response:
    return json_answer({"result": "success", "locations": {"us": own_url(), "eu": own_url()}})
