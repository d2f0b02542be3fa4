"""`tds zoho`: connects an organisation, shows the connection, and rotates its keys."""

import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import typer
from cryptography.fernet import Fernet
from rich.console import Console
from rich.markup import escape
from sqlalchemy import Engine

from tds_api.cli.common.database import database
from tds_api.cli.common.logged_transactions import acting, did
from tds_api.cli.common.output import cell, say_json, say_table, terminal
from tds_api.cli.quota import quota
from tds_api.cli.webhook_coverage import coverage
from tds_api.cli.webhook_events import recent, rejected
from tds_api.cli.zoho_webhooks import webhooks
from tds_core.alerts.channels import channel_secrets
from tds_core.audit_trail import seal_keys as audit_trail_seal_keys
from tds_core.config.settings import Settings, load_settings
from tds_core.crypto import Vault
from tds_core.errors import AuthError, ConfigError, TdsError
from tds_core.health.health import DISPATCHER_SILENT_SECONDS, health_facts
from tds_core.observability.logging import configure_logging
from tds_core.schema import migrations
from tds_core.sources import mirrored_organization
from tds_core.sources.missing_permissions import MissingPermissionRow, describe, missing_permissions, retry_now
from tds_core.sources.zoho import tokens as zoho_tokens
from tds_core.sources.zoho.factory import open_oauth, open_tokens, open_vault
from tds_core.sources.zoho.oauth import AUTOMATION_SCOPES, SCOPES, OAuthClient, known_server, lacking
from tds_core.sources.zoho.organization_connection import (
    ConnectionResult,
    Connector,
    StoredConnection,
    not_among,
    stored_connection,
)
from tds_core.sources.zoho.organizations import OrganizationSeen, organizations
from tds_core.sources.zoho.responses import TokenRefusedError
from tds_core.subscriptions import subscriptions
from tds_local.embedded import EmbeddedPostgres
from tds_local.embedded.home import secret_of_home
from tds_models.db import session_scope

PATH = "/callback"
_THANKS = b"<!doctype html><title>TDS</title><p>Received. You can close this page and go back to the terminal."


@dataclass(frozen=True, slots=True)
class ConsentCode:
    """The query of the OAuth redirect: the code, and the accounts server of the person who agreed."""

    code: str
    accounts_url: str


class CallbackPage:
    """Local HTTP server that receives the OAuth redirect; listens once made, until `wait` returns."""

    def __init__(self, port: int) -> None:
        self.state = secrets.token_urlsafe(24)
        self._answer: dict[str, str] = {}
        page = self

        class Receiver(BaseHTTPRequestHandler):
            """Receives one redirect."""

            def do_GET(self) -> None:
                """Keep the query of the redirect, and answer with a page."""
                parts = urlsplit(self.path)
                if parts.path != PATH:
                    self.send_error(404)
                    return
                page._answer = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(_THANKS)

            def log_message(self, *_: object) -> None:
                """Log nothing: the address holds the code."""

        try:
            self._server = HTTPServer(("127.0.0.1", port), Receiver)
        except OSError as error:
            raise ConfigError(f"Port {port} cannot be used ({error.strerror}). Choose another with --port.") from None
        self._server.timeout = 0.5
        self.redirect_uri = f"http://localhost:{self._server.server_port}{PATH}"

    def wait(self, seconds: float) -> ConsentCode:
        """The consent, once it comes. Raises AuthError when it was refused, forged, or did not come in time."""
        deadline = time.monotonic() + seconds
        try:
            while not self._answer and time.monotonic() < deadline:
                self._server.handle_request()
        finally:
            self._server.server_close()
        if not self._answer:
            raise AuthError(f"No answer came from Zoho's consent page within {seconds:.0f} seconds. Try again.")
        if error := self._answer.get("error"):
            raise AuthError(f"Zoho's consent page said: {error}. An administrator of the organisation has to accept.")
        if not secrets.compare_digest(self._answer.get("state", ""), self.state):
            raise AuthError("The answer does not belong to this request (its state differs). Start again.")
        return ConsentCode(self._answer.get("code", ""), self._answer.get("accounts-server", ""))


CONSENT_WITHIN_SECONDS = 300.0

zoho = typer.Typer(no_args_is_help=True, help="Connect a Zoho organisation, and see how the connection does.")
zoho.command()(quota)
webhooks.command()(coverage)
webhooks.command()(recent)
webhooks.command()(rejected)
zoho.add_typer(webhooks, name="webhooks")


@zoho.callback()
def quietly() -> None:
    """Silence the log: each command prints its errors itself."""
    configure_logging(load_settings().replace("command line", log_level="CRITICAL"), process="cli")


@zoho.command()
def connect(
    code: str = typer.Option("", help="A code of the API console's self client; asked for when it is not given."),
    browser: bool = typer.Option(False, "--browser", help="Through Zoho's consent page and a page on this machine."),
    with_webhooks: bool = typer.Option(False, "--webhooks", help="Also for `tds zoho webhooks`: it writes settings."),
    port: int = typer.Option(8899, help="Port of that page; its address must be registered with the client."),
) -> None:
    """Connect the organisation: get a refresh token, keep it encrypted in the database, and try it out."""
    settings = load_settings()
    oauth, console = open_oauth(settings), terminal()
    scopes = (*SCOPES, *AUTOMATION_SCOPES) if with_webhooks else SCOPES
    if browser:
        page = CallbackPage(port)
        console.print(f"Register this redirect address with the client: {page.redirect_uri}\nThen open:\n")
        url = oauth.authorize_url(redirect_uri=page.redirect_uri, state=page.state, scopes=scopes)
        console.print(escape(url), soft_wrap=True)
        consent = page.wait(CONSENT_WITHIN_SECONDS)
        if consent.accounts_url:  # Zoho names the data centre of the organisation
            oauth = replace(oauth, accounts_url=known_server(settings, consent.accounts_url))
        result, is_running = _connect(settings, oauth, consent.code, page.redirect_uri)
    else:
        result, is_running = _connect(settings, oauth, code or _entered_code(console, scopes))
    _show_connected(console, settings, result, is_running=is_running)


@zoho.command()
def status(
    as_json: bool = typer.Option(False, "--json", help="For programs."),
    offline: bool = typer.Option(False, "--offline", help="Do not ask Zoho, only look at what is stored."),
) -> None:
    """Show the connection, and ask Zoho once whether it still works; exit code 1 when it does not."""
    settings = load_settings()
    problem, seen = "", []
    missing: list[MissingPermissionRow] = []
    with database(settings) as engine:
        with session_scope(engine) as session:
            stored = stored_connection(session)
            missing = missing_permissions(session)
        if not offline:
            try:
                seen = _ask(settings, engine)
            except TdsError as error:
                problem = f"{error.code}: {error}"
    if not problem and not offline and settings.zoho_organization_id not in [each.id for each in seen]:
        problem = not_among(settings.zoho_organization_id, seen)
    if missing and not problem:
        problem = f"not all of it may be read: {'; '.join(describe(each) for each in missing)}"
    if as_json:
        say_json({"data_center": settings.zoho_data_center, "organization_id": settings.zoho_organization_id,
                  **stored, "organizations": seen, "missing_permissions": missing,
                  "lacking_scopes": lacking(stored.get("scopes")), "problem": problem})  # fmt: skip
    else:
        _show_status(settings, stored, seen)
        _show_missing(stored, missing, problem)
    if problem:
        raise typer.Exit(1)


@zoho.command()
def retry() -> None:
    """Try at once what may not be read, once its scope or right was given in Zoho; it is tried by itself, too."""
    with acting("zoho.retry") as session:
        modules = retry_now(session, "zoho")
    says = f"Tried again at once: {', '.join(modules)}" if modules else "Nothing is refused."
    terminal().print(escape(says), soft_wrap=True)


@zoho.command()
def adopt(
    yes: bool = typer.Option(False, "--yes", help="Without asking: the rows are this organisation's."),
) -> None:
    """Let the mirror be of ZOHO_ORGANIZATION_ID from now on, whichever organisation its rows were read from."""
    settings = load_settings()
    settings.require("ZOHO_ORGANIZATION_ID")
    mine = settings.zoho_organization_id
    if not yes:
        typer.confirm(f"A full pass removes every row that {mine} does not have. Adopt?", abort=True)
    with acting("zoho.adopt", mine) as session:
        before = mirrored_organization.adopt(session, "zoho", mine)
    was = f", not of {before}" if before and before != mine else ""
    says = f"The mirror is of {mine} from now on{was}. Next: tds sync all --mode full; it is held where much would go."
    terminal().print(escape(says), soft_wrap=True)


@zoho.command("rotate-key")
def rotate_key() -> None:
    """Lock what is stored with TDS_SECRET_KEY; first restart TDS with the old key in TDS_SECRET_KEY_PREVIOUS."""
    settings = load_settings()
    vault = open_vault(settings)
    with acting("zoho.rotate_key") as session:
        count = zoho_tokens.reencrypt(session, vault)
        seal_keys = audit_trail_seal_keys.reencrypt(session, vault)
        secrets = subscriptions.reencrypt(session, vault)
        channels = channel_secrets.reencrypt(session, vault)
    console = terminal()
    console.print(f"{count} stored tokens are locked with TDS_SECRET_KEY now.")
    if seal_keys:
        console.print(f"{seal_keys} keys of the history's seals are, too.")
    if secrets:
        console.print(f"{secrets} subscriptions' secrets are, too.")
    if channels:
        console.print(f"{channels} channels of alerts are, too.")
    if settings.secret_key_previous:
        console.print("TDS_SECRET_KEY_PREVIOUS can be unset now.")


def _entered_code(console: Console, scopes: Sequence[str]) -> str:
    console.print("In Zoho's API console (api-console.zoho.com of your data centre) open your Self Client, tab")
    console.print("Generate Code, scope (a code works once, for at most 10 minutes):\n")
    console.print(",".join(scopes) + "\n", soft_wrap=True)
    entered: str = typer.prompt("Code")
    return entered.strip()


def _connect(
    settings: Settings, oauth: OAuthClient, code: str, redirect_uri: str | None = None
) -> tuple[ConnectionResult, bool]:
    """The new connection, and whether a running TDS can use it."""
    key = settings.secret_key or secret_of_home(settings.home, "TDS_SECRET_KEY", lambda: Fernet.generate_key().decode())
    with _migrated(settings) as engine:
        connector = Connector(lambda: session_scope(engine), Vault(key), settings)
        result = connector.connect(oauth, code, now=datetime.now(UTC), redirect_uri=redirect_uri)
        did(engine, "zoho.connect", oauth.accounts_url)
        with session_scope(engine) as session:
            silent = health_facts(session)["dispatcher_silent_seconds"]
        return result, silent is not None and silent <= DISPATCHER_SILENT_SECONDS


@contextlib.contextmanager
def _migrated(settings: Settings) -> Iterator[Engine]:
    """The settings' database with its tables; an embedded one that does not run is started for it."""
    with contextlib.ExitStack() as ends:
        if not settings.database_url:
            url = ends.enter_context(EmbeddedPostgres(settings.home)).url
            settings = settings.replace("embedded", database_url=url)
            migrations.upgrade(url)
        yield ends.enter_context(database(settings))


def _ask(settings: Settings, engine: Engine) -> list[OrganizationSeen]:
    """The organisations of the connection; retried with a new token when the stored one is refused."""
    tokens = open_tokens(settings, lambda: session_scope(engine))
    token, api_url = tokens.current()
    try:
        return organizations(api_url, token, now=datetime.now(UTC))
    except TokenRefusedError:
        token, api_url = tokens.renew(token)
    return organizations(api_url, token, now=datetime.now(UTC))


def _show_connected(console: Console, settings: Settings, result: ConnectionResult, *, is_running: bool) -> None:
    seen = result.organizations
    console.print("[green]Connected.[/] The refresh token is kept, encrypted, in the database.")
    _show_organizations(console, seen)
    for warning in result.warnings():
        console.print(f"[yellow]{escape(warning)}[/]", soft_wrap=True)
    if result.time_zone:
        says = f"Days and the timetable's night are {result.time_zone}'s from now on, as the organisation's."
        console.print(f"{says} Another: tds config set TDS_TIME_ZONE ZONE", soft_wrap=True)
    if result.lacking:
        console.print("Connect again with all scopes: tds zoho connect", soft_wrap=True)
    first = "tds sync all --mode full --wait"
    if not settings.zoho_organization_id:
        says = escape(not_among("", seen))
        console.print(f"[yellow]{says} Set it, then: {_next(first, is_running=is_running)}[/]", soft_wrap=True)
    else:
        console.print(f"Next: {_next(first, is_running=is_running)}", soft_wrap=True)


def _next(command: str, *, is_running: bool) -> str:
    return command if is_running else f"tds up, and while it runs, in another terminal: {command}"


def _show_organizations(console: Console, seen: list[OrganizationSeen]) -> None:
    rows = [(each.id, each.name, each.currency_code, each.time_zone) for each in seen]
    say_table("Organisations", ("id", "name", "currency", "time zone"), rows, console=console)


def _show_status(settings: Settings, stored: StoredConnection, seen: list[OrganizationSeen]) -> None:
    console = terminal()
    token_place = (
        "in the database"
        if stored.get("has_refresh_token")
        else "from settings"
        if settings.zoho_refresh_token
        else None
    )
    rows = [
        ("data centre", settings.zoho_data_center),
        ("organisation", settings.zoho_organization_id),
        ("refresh token", token_place),
        ("access token ends", stored.get("expires_at")),
        ("API", stored.get("api_url") or settings.zoho_api_url),
        ("left alone, ends", stored.get("paused_until") or stored.get("blocked_until")),
        ("because", stored.get("pause_reason") if stored.get("paused_until") else stored.get("block_reason")),
        ("refused since", stored.get("refused_at")),
    ]
    for name, value in rows:
        console.print(f"{name:<20} {escape(cell(value))}", soft_wrap=True)
    if seen:
        _show_organizations(console, seen)


def _show_missing(stored: StoredConnection, missing: list[MissingPermissionRow], problem: str) -> None:
    console = terminal()
    for scope, entities in sorted(lacking(stored.get("scopes")).items()):
        says = f"not granted: {scope}, which {', '.join(entities)} needs"
        console.print(f"[yellow]{escape(says)}[/]", soft_wrap=True)
    for each in missing:
        console.print(f"[yellow]{escape(describe(each))}[/]", soft_wrap=True)
    if missing or lacking(stored.get("scopes")):
        console.print("Add scopes: tds zoho connect. Once a right was given in Zoho: tds zoho retry", soft_wrap=True)
    console.print(f"[red]{escape(problem)}[/]" if problem else "[green]all is well[/]", soft_wrap=True)
