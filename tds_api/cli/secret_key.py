"""`tds secret-key`: whether TDS_SECRET_KEY opens what is stored, and the way on when it is lost for good."""

import contextlib
from getpass import getuser

import typer
from cryptography.fernet import Fernet

from tds_api.cli.common.database import database
from tds_api.cli.common.logged_transactions import acting_on
from tds_api.cli.common.output import say, say_json
from tds_core import secret_key as core
from tds_core.audit_trail.restart_after_key_loss import NoKeyLostError, begin_anew
from tds_core.audit_trail.seal_keys import readable_keys, seal_key
from tds_core.config.settings import Settings, load_settings
from tds_core.config.sources import SECRETS_FILE
from tds_core.crypto import Vault
from tds_core.errors import ConfigError
from tds_core.observability.logging import configure_logging
from tds_local.embedded import EmbeddedPostgres
from tds_local.embedded.home import secret_of_home
from tds_models.db import session_scope

secret_key_app = typer.Typer(help="Check TDS_SECRET_KEY; go on without one that is lost.", no_args_is_help=True)

_QUESTION = "What the lost key locked will never open again, and the seals made with it prove nothing. Give it up?"


@secret_key_app.command()
def check(as_json: bool = typer.Option(False, "--json", help="For programs.")) -> None:
    """Say whether the key opens everything that is stored encrypted. Exit code 2: it does not."""
    settings = load_settings()
    with contextlib.ExitStack() as ends:
        engine = ends.enter_context(database(_with_database(settings, ends)))
        with session_scope(engine) as session:
            source = settings.source_of("TDS_SECRET_KEY")
            core.check(session, settings.secret_key, settings.secret_key_previous, source=source)
            counts = core.encrypted_counts(session)
    if as_json:
        say_json({"opened": counts})
    else:
        say(f"TDS_SECRET_KEY opens everything that is stored: {sum(counts.values())} values.")


@secret_key_app.command("give-up")
def give_up(
    reason: str = typer.Option(..., help="Why, for the chain of seals and the record of actions."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Go on with a new key after the old one was lost for good: give up what it locked, and begin the seals anew."""
    settings = load_settings()
    configure_logging(settings.replace("command line", log_level="ERROR"), process="cli")
    if len(reason.strip()) < 3:
        raise ConfigError('Say why, for example: --reason "the key was lost with its server".')
    if not yes:
        typer.confirm(_QUESTION, abort=True)
    settings = _with_key(settings)
    with contextlib.ExitStack() as ends:
        engine = ends.enter_context(database(_with_database(settings, ends)))
        with acting_on(engine, "secret_key.give_up", detail={"reason": reason}) as session:
            done = core.give_up(session, Vault(settings.secret_key, settings.secret_key_previous))
            key, keys = seal_key(session, settings), readable_keys(session, settings)
            try:
                seal = begin_anew(session, key, keys, reason=reason, by=getuser())
                done = [*done, f"The seals begin anew with seal {seal.number}. Seal every row again: tds audit seal"]
            except NoKeyLostError:
                pass
    for sentence in done or ["The key opens everything: nothing was given up."]:
        say(sentence)


def _with_key(settings: Settings) -> Settings:
    """The settings with a key; a new one is made and kept where there is none."""
    if settings.secret_key:
        return settings
    made = secret_of_home(settings.home, "TDS_SECRET_KEY", lambda: Fernet.generate_key().decode())
    return settings.replace(SECRETS_FILE, secret_key=made)


def _with_database(settings: Settings, ends: contextlib.ExitStack) -> Settings:
    """The settings with a database: the embedded one is started for as long as it is needed."""
    if settings.database_url or settings.url:
        return settings
    return settings.replace("embedded", database_url=ends.enter_context(EmbeddedPostgres(settings.home)).url)
