"""The page that connects the organisation: how access does, the way to Zoho's consent page, and what came of it.

The shapes of what browsers bring to the page that connects the organisation.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog
from flask import Response, make_response, redirect, request
from marshmallow import fields, validate

from tds_api.auth.action_log import Recording
from tds_api.auth.authentication import address_of, is_loopback
from tds_api.auth.middleware import REFUSED_PER_MINUTE
from tds_api.auth.page_auth import PageAccess, SignedCookie
from tds_api.auth.permissions import ITSELF, needs
from tds_api.context import Context
from tds_api.http.problems import PROBLEM
from tds_api.openapi import Blueprint
from tds_api.pages.html import page
from tds_api.schemas.common import Arguments, Problem
from tds_core.auth.principal import NOBODY
from tds_core.auth.rate_limits import RateLimiter, per_minute
from tds_core.config.settings import DECLARATIONS
from tds_core.errors import AuthError, TdsError
from tds_core.sources.missing_permissions import describe, missing_permissions
from tds_core.sources.zoho import oauth as zoho_oauth
from tds_core.sources.zoho.connection import Connector, access_status, data_center_of, not_among, stored_connection
from tds_core.sources.zoho.factory import open_oauth, open_vault
from tds_core.sources.zoho.oauth import AUTOMATION_SCOPES, SCOPES, lacking
from tds_models.db import session_scope


class StartForm(Arguments):
    """Either the API token, or the wish to connect."""

    token = fields.String(load_default="", validate=validate.Length(max=500))
    data_center = fields.String(load_default="", validate=validate.Length(max=10))
    webhooks = fields.Boolean(load_default=False)
    form_key = fields.String(load_default="", validate=validate.Length(max=100))


class ConsentAnswer(Arguments):
    """What Zoho's consent page sends along."""

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
    "content": {"text/html": {"schema": {"type": "string"}}, PROBLEM: {"schema": Problem}},
}


def connecting_routes(edge: Context, recording: Recording, rates: RateLimiter) -> Blueprint:
    """The page, and the address Zoho's consent page leads back to."""
    routes = Blueprint("connecting", __name__, url_prefix=PATH, description="Connect the organisation in a browser")
    desk = _Desk.of(edge, recording, rates)

    @routes.get("/start")
    @needs(ITSELF)
    @routes.response(200, description="The page", **_HTML)
    @routes.alt_response(401, description="A form that asks for the API token", **_HTML)
    def start() -> Response:
        """How access to Zoho does, and a button that asks for it."""
        if desk.is_guessed(presents=request.authorization is not None):
            return desk.ask_token(_TOO_OFTEN)
        return desk.show() if desk.admission.admits(request) else desk.ask_token()

    @routes.post("/start")
    @needs(ITSELF)
    @routes.arguments(StartForm, location="form")
    @routes.response(200, description="A page that leads on to Zoho's consent page", **_HTML)
    @routes.alt_response(303, description="The token was right: back to the page", **_HTML)
    @routes.alt_response(401, description="A form that asks for the API token", **_HTML)
    @routes.doc(responses={"422": _UNFIT})
    def begin(form: dict[str, Any]) -> Response:
        """Let in who gives the API token; lead those who are in to Zoho's consent page."""
        if desk.is_guessed(presents=bool(form["token"]) or request.authorization is not None):
            return desk.ask_token(_TOO_OFTEN)
        if desk.admission.is_own_form(request):
            response = desk.leave(form["data_center"], with_webhooks=form["webhooks"])
            desk.recorded(response)
            return response
        return desk.admit(form["token"])

    @routes.get("/callback")
    @needs(ITSELF)
    @routes.arguments(ConsentAnswer, location="query")
    @routes.response(303, description="To the page, which tells what came of it")
    def callback(answer: dict[str, Any]) -> Response:
        """Where Zoho's consent page leads back to. Nothing but a state that was given out just now opens it."""
        return desk.come_back(answer)

    return routes


@dataclass(frozen=True, slots=True)
class _Desk:
    """What the routes do, for one API process."""

    edge: Context
    admission: PageAccess
    news: SignedCookie
    recording: Recording
    rates: RateLimiter

    @classmethod
    def of(cls, edge: Context, recording: Recording, rates: RateLimiter) -> "_Desk":
        news = SignedCookie("tds_news", PATH, edge.settings.api_token or edge.settings.secret_key, seconds=300)
        return cls(edge, PageAccess(edge, PATH), news, recording, rates)

    def is_guessed(self, *, presents: bool) -> bool:
        """Whether too much was presented from here in this minute, right or wrong: guessing gets nowhere."""
        address = address_of(request, self.edge.settings)
        return presents and self.rates.take(per_minute(REFUSED_PER_MINUTE), "refused", address).is_over

    def show(self, problem: str = "", status: int = 200) -> Response:
        settings = self.edge.settings
        with session_scope(self.edge.engine) as session:
            stored = stored_connection(session)
            missing_rights = [describe(each) for each in missing_permissions(session)]
        news = self.news.read(request)
        accounts_url = stored.get("accounts_url") or settings.zoho_accounts_url
        shown = page(
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
            form_key=self.admission.form_key(request),
            scopes=SCOPES,
            automation_scopes=AUTOMATION_SCOPES,
        )
        if news:
            self.news.drop(shown)
        return shown

    def ask_token(self, problem: str = "") -> Response:
        news = {"is_good": False, "says": problem} if problem else self.news.read(request)
        return page("token.html", status=401, news=news, has_token=bool(self.edge.settings.api_token))

    def admit(self, token: str) -> Response:
        admitted = make_response(redirect(f"{PATH}/start", 303))
        if self.admission.admit(request, admitted, token):
            return admitted
        if token:
            log.warning("admission_refused", remote_address=address_of(request, self.edge.settings))
            self.recording.refused(
                replace(self.recording.action_of(NOBODY), detail={}), status=401, error="unauthorized"
            )
        return self.ask_token("This is not the API token." if token else "Give the API token first.")

    def leave(self, data_center: str, *, with_webhooks: bool) -> Response:
        settings = self.edge.settings
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
        asked = zoho_oauth.ConsentRequest(server, redirect_uri)
        with session_scope(self.edge.engine) as session:
            state = zoho_oauth.begin(session, asked)
        oauth = replace(open_oauth(settings), accounts_url=server)
        log.info("consent_asked", accounts_url=server)
        scopes = (*SCOPES, *AUTOMATION_SCOPES) if with_webhooks else SCOPES
        url = oauth.authorize_url(redirect_uri=asked.redirect_uri, state=state, scopes=scopes)
        return page("leaving.html", url=url)

    def come_back(self, answer: dict[str, Any]) -> Response:
        back = make_response(redirect(f"{PATH}/start", 303))
        back.headers.update({"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"})
        try:
            says, problem = self._connect(answer), None
        except TdsError as error:
            log.warning("connecting_failed", error=error.code, detail=str(error))
            says, problem = str(error), error
        self.recorded(back, problem=problem)
        self.news.put(request, back, {"is_good": problem is None, "says": says[:1500]})
        return back

    def _connect(self, answer: dict[str, Any]) -> str:
        """Connect by what the consent page sent. Returns what to tell; raises TdsError, which says what to do."""
        settings, engine = self.edge.settings, self.edge.engine
        with session_scope(engine) as session:
            asked = zoho_oauth.take(session, answer["state"])
        if asked is None:
            raise AuthError("This answer belongs to no request of TDS, or to one used up or too old. Start again.")
        if answer["error"] or not answer["code"]:
            raise zoho_oauth.refusal(answer["error"] or "nothing")
        server = zoho_oauth.known_server(settings, answer["accounts_server"] or asked.accounts_url)
        connector = Connector(
            lambda: session_scope(engine), open_vault(settings), settings.zoho_organization_id, settings.zoho_api_url
        )
        found = connector.connect(
            replace(open_oauth(settings), accounts_url=server),
            answer["code"],
            now=datetime.now(UTC),
            redirect_uri=asked.redirect_uri,
        )
        log.info("connected", accounts_url=server, organization_count=len(found.organizations))
        lacks = "".join(f" {each}." for each in found.warnings())
        if not settings.zoho_organization_id:
            there = not_among("", found.organizations)
            return f"Connected, but nothing is mirrored yet: {there} Set it and restart TDS.{lacks}"
        return (
            "Connected. Work that waited goes on by itself; a first load is begun with: tds sync all --mode full"
            f"{lacks}"
        )

    def recorded(self, response: Response, *, problem: TdsError | None = None) -> None:
        """Write down that an administrator asked for consent, or what an answer to it came to; never the answer."""
        asked = self.recording.action_of(self.admission.who(request) or NOBODY)
        action = replace(asked, detail={})
        if problem is None:
            self.recording.end(action, None, response)
        else:
            self.recording.refused(action, status=response.status_code, error=problem.code)

    def _redirect_uri(self) -> str:
        """Where Zoho is to lead the browser back to; empty when nothing trustworthy says it.

        Anybody can send any Host header: it is believed where it names this machine, and nowhere else.
        """
        settings = self.edge.settings
        base = settings.public_url or (request.host_url if is_loopback(request.host) else "")
        return f"{base.rstrip('/')}{PATH}/callback" if base else ""
