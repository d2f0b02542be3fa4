"""The page that connects the organisation: connection status, redirect to Zoho's consent page, and its outcome."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog
from flask import Response, make_response, redirect, request
from marshmallow import fields, validate

from tds_api.auth.action_log import ActionRecorder
from tds_api.auth.authentication import address_of, is_loopback
from tds_api.auth.middleware import REFUSED_PER_MINUTE
from tds_api.auth.page_auth import PageAuth, SignedCookie
from tds_api.auth.permissions import ITSELF, needs
from tds_api.http.problems import PROBLEM
from tds_api.openapi import Blueprint
from tds_api.pages.common.page_rendering import page
from tds_api.process_context import Context
from tds_api.schemas.common import ArgumentsSchema, ProblemSchema
from tds_core.auth.principal import ANONYMOUS
from tds_core.auth.rate_limits import RateLimiter, per_minute
from tds_core.config.settings import DECLARATIONS
from tds_core.errors import AuthError, TdsError
from tds_core.sources.missing_permissions import describe, missing_permissions
from tds_core.sources.zoho import oauth as zoho_oauth
from tds_core.sources.zoho.factory import open_oauth, open_vault
from tds_core.sources.zoho.oauth import AUTOMATION_SCOPES, SCOPES, lacking
from tds_core.sources.zoho.organization_connection import (
    Connector,
    access_status,
    data_center_of,
    not_among,
    stored_connection,
)
from tds_models.db import session_scope


class StartFormSchema(ArgumentsSchema):
    """Either the API token, or a request to connect."""

    token = fields.String(load_default="", validate=validate.Length(max=500))
    data_center = fields.String(load_default="", validate=validate.Length(max=10))
    webhooks = fields.Boolean(load_default=False)
    form_key = fields.String(load_default="", validate=validate.Length(max=100))


class ConsentRedirectSchema(ArgumentsSchema):
    """The query parameters that Zoho's consent page adds to its redirect."""

    state = fields.String(load_default="", validate=validate.Length(max=500))
    code = fields.String(load_default="", validate=validate.Length(max=500))
    error = fields.String(load_default="", validate=validate.Length(max=500))
    location = fields.String(load_default="", validate=validate.Length(max=50))
    accounts_server = fields.String(load_default="", data_key="accounts-server", validate=validate.Length(max=200))


log = structlog.get_logger(__name__)

PATH = "/api/tds/zoho/oauth"
NEEDED = ("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "TDS_SECRET_KEY")
_HTML = {"content_type": "text/html"}
_PUBLIC_URL_UNSET = (
    "TDS does not know the address browsers reach it by: set TDS_PUBLIC_URL to it (https://tds.example.com) and restart"
    " TDS, or open this page on the machine itself, as localhost."
)
_TOO_OFTEN = "Too many attempts from here. Try again in a minute."
_UNFIT = {
    "description": "The page, with what is wrong; of a form that is none of ours, a problem document",
    "content": {"text/html": {"schema": {"type": "string"}}, PROBLEM: {"schema": ProblemSchema}},
}


def zoho_connect_routes(context: Context, recorder: ActionRecorder, rates: RateLimiter) -> Blueprint:
    """The page, and the address Zoho's consent page leads back to."""
    routes = Blueprint("connecting", __name__, url_prefix=PATH, description="Connect the organisation in a browser")
    flow = _ConsentFlow.of(context, recorder, rates)

    @routes.get("/start")
    @needs(ITSELF)
    @routes.response(200, description="The page", **_HTML)
    @routes.alt_response(401, description="A form that asks for the API token", **_HTML)
    def start() -> Response:
        """The connection to Zoho, and a button that asks for consent."""
        if flow.is_rate_limited(presents=request.authorization is not None):
            return flow.ask_token(_TOO_OFTEN)
        return flow.show() if flow.page_auth.admits(request) else flow.ask_token()

    @routes.post("/start")
    @needs(ITSELF)
    @routes.arguments(StartFormSchema, location="form")
    @routes.response(200, description="A page that leads on to Zoho's consent page", **_HTML)
    @routes.alt_response(303, description="The token was right: back to the page", **_HTML)
    @routes.alt_response(401, description="A form that asks for the API token", **_HTML)
    @routes.doc(responses={"422": _UNFIT})
    def begin(form: dict[str, Any]) -> Response:
        """Admit a browser that gives the API token; redirect admitted ones to Zoho's consent page."""
        if flow.is_rate_limited(presents=bool(form["token"]) or request.authorization is not None):
            return flow.ask_token(_TOO_OFTEN)
        if flow.page_auth.is_our_form(request):
            response = flow.leave(form["data_center"], with_webhooks=form["webhooks"])
            flow.record(response)
            return response
        return flow.admit(form["token"])

    @routes.get("/callback")
    @needs(ITSELF)
    @routes.arguments(ConsentRedirectSchema, location="query")
    @routes.response(303, description="To the page, which shows the outcome")
    def callback(answer: dict[str, Any]) -> Response:
        """The redirect target of Zoho's consent page. It needs a state that was issued just before."""
        return flow.come_back(answer)

    return routes


@dataclass(frozen=True, slots=True)
class _ConsentFlow:
    """The steps behind the routes, for one API process."""

    context: Context
    page_auth: PageAuth
    news: SignedCookie
    recorder: ActionRecorder
    rates: RateLimiter

    @classmethod
    def of(cls, context: Context, recorder: ActionRecorder, rates: RateLimiter) -> "_ConsentFlow":
        news = SignedCookie("tds_news", PATH, context.settings.api_token or context.settings.secret_key, seconds=300)
        return cls(context, PageAuth(context, PATH), news, recorder, rates)

    def is_rate_limited(self, *, presents: bool) -> bool:
        """Whether too many tokens or keys came from this address in this minute, right or wrong."""
        address = address_of(request, self.context.settings)
        return presents and self.rates.take(per_minute(REFUSED_PER_MINUTE), "refused", address).is_over

    def show(self, problem: str = "", status: int = 200) -> Response:
        settings = self.context.settings
        with session_scope(self.context.engine) as session:
            stored = stored_connection(session)
            missing_rights = [describe(each) for each in missing_permissions(session)]
        news = self.news.read(request)
        accounts_url = stored.get("accounts_url") or settings.zoho_accounts_url
        response = page(
            "connecting.html",
            status=status,
            news={"is_good": False, "says": problem} if problem else news,
            stored=stored,
            missing_rights=missing_rights,
            lacking=lacking(stored.get("scopes")),
            access=access_status(stored, settings),
            organization_id=settings.zoho_organization_id,
            data_center=data_center_of(accounts_url) or accounts_url,
            servers=zoho_oauth.accounts_servers(settings),
            chosen=settings.zoho_data_center,
            missing=[DECLARATIONS[name] for name in NEEDED if not settings.value_of(DECLARATIONS[name])],
            redirect_uri=self._redirect_uri(),
            has_public_url=bool(settings.public_url),
            public_url_unset=_PUBLIC_URL_UNSET,
            form_key=self.page_auth.form_key(request),
            scopes=SCOPES,
            automation_scopes=AUTOMATION_SCOPES,
        )
        if news:
            self.news.delete(response)
        return response

    def ask_token(self, problem: str = "") -> Response:
        news = {"is_good": False, "says": problem} if problem else self.news.read(request)
        return page("token.html", status=401, news=news, has_token=bool(self.context.settings.api_token))

    def admit(self, token: str) -> Response:
        admitted = make_response(redirect(f"{PATH}/start", 303))
        if self.page_auth.admit(request, admitted, token):
            return admitted
        if token:
            log.warning("admission_refused", remote_address=address_of(request, self.context.settings))
            self.recorder.refused(
                replace(self.recorder.action_of(ANONYMOUS), detail={}), status=401, error="unauthorized"
            )
        return self.ask_token("This is not the API token." if token else "Give the API token first.")

    def leave(self, data_center: str, *, with_webhooks: bool) -> Response:
        settings = self.context.settings
        server = zoho_oauth.accounts_servers(settings).get(data_center, "")
        try:
            settings.require(*NEEDED)
            redirect_uri = self._redirect_uri()
            if not redirect_uri:
                raise AuthError(_PUBLIC_URL_UNSET)
            if not server:
                raise AuthError("Choose the data centre the organisation lives in.")
        except TdsError as error:
            return self.show(str(error), 422)
        consent = zoho_oauth.ConsentRequest(server, redirect_uri)
        with session_scope(self.context.engine) as session:
            state = zoho_oauth.begin(session, consent)
        oauth = replace(open_oauth(settings), accounts_url=server)
        log.info("consent_asked", accounts_url=server)
        scopes = (*SCOPES, *AUTOMATION_SCOPES) if with_webhooks else SCOPES
        url = oauth.authorize_url(redirect_uri=consent.redirect_uri, state=state, scopes=scopes)
        return page("leaving.html", url=url)

    def come_back(self, answer: dict[str, Any]) -> Response:
        back = make_response(redirect(f"{PATH}/start", 303))
        back.headers.update({"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"})
        try:
            says, problem = self._connect(answer), None
        except TdsError as error:
            log.warning("connecting_failed", error=error.code, detail=str(error))
            says, problem = str(error), error
        self.record(back, problem=problem)
        self.news.set(request, back, {"is_good": problem is None, "says": says[:1500]})
        return back

    def _connect(self, answer: dict[str, Any]) -> str:
        """Connect with the code from the consent page. Returns a message for the page; raises TdsError."""
        settings, engine = self.context.settings, self.context.engine
        with session_scope(engine) as session:
            consent = zoho_oauth.take(session, answer["state"])
        if consent is None:
            raise AuthError("This answer belongs to no request of TDS, or to one used up or too old. Start again.")
        if answer["error"] or not answer["code"]:
            raise zoho_oauth.refusal(answer["error"] or "nothing")
        server = zoho_oauth.known_server(settings, answer["accounts_server"] or consent.accounts_url)
        connector = Connector(lambda: session_scope(engine), open_vault(settings), settings)
        connected = connector.connect(
            replace(open_oauth(settings), accounts_url=server),
            answer["code"],
            now=datetime.now(UTC),
            redirect_uri=consent.redirect_uri,
        )
        log.info("connected", accounts_url=server, organization_count=len(connected.organizations))
        lacks = "".join(f" {each}." for each in connected.warnings())
        if not settings.zoho_organization_id:
            choices = not_among("", connected.organizations)
            return f"Connected, but nothing is mirrored yet: {choices} Set it and restart TDS.{lacks}"
        return (
            "Connected. Work that waited goes on by itself; a first load is begun with: tds sync all --mode full"
            f"{lacks}"
        )

    def record(self, response: Response, *, problem: TdsError | None = None) -> None:
        """Log that an administrator asked for consent, or the outcome of a redirect; never its parameters."""
        entry = self.recorder.action_of(self.page_auth.principal(request) or ANONYMOUS)
        action = replace(entry, detail={})
        if problem is None:
            self.recorder.end(action, None, response)
        else:
            self.recorder.refused(action, status=response.status_code, error=problem.code)

    def _redirect_uri(self) -> str:
        """Where Zoho is to redirect the browser to; empty when no trustworthy address is known.

        Any client can send any Host header: it is trusted only where it names this machine.
        """
        settings = self.context.settings
        base = settings.public_url or (request.host_url if is_loopback(request.host) else "")
        return f"{base.rstrip('/')}{PATH}/callback" if base else ""
