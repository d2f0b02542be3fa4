"""`tds audit reseal`: begins the chain of seals anew after a key of its seals was lost."""

from getpass import getuser

import typer

from tds_api.cli.common.database import database
from tds_api.cli.common.logged_transactions import acting_on
from tds_api.cli.common.output import say, say_json
from tds_api.cli.common.remote_api import remote
from tds_core.audit_trail.restart_after_key_loss import begin_anew
from tds_core.audit_trail.seal_keys import readable_keys, seal_key
from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError
from tds_core.observability.logging import configure_logging

_QUESTION = "The seals made so far with a lost key will prove nothing any more. Begin anew?"


def reseal(
    reason: str = typer.Option(..., help="Why, for the chain and the record of actions."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    as_json: bool = typer.Option(False, "--json", help="For programs; needs --yes."),
) -> None:
    """Begin the seals anew after TDS_SECRET_KEY was lost. The old seals stay; the new ones cover every row again."""
    settings = load_settings()
    configure_logging(settings.replace("command line", log_level="ERROR"), process="cli")
    if len(reason.strip()) < 3:
        raise ConfigError('Say why, for example: --reason "the old TDS_SECRET_KEY was lost with its server".')
    if not yes:
        typer.confirm(_QUESTION, abort=True)
    if api := remote():
        begun = api.post("/audit/reseal", {"reason": reason})
    else:
        with database(settings) as engine, acting_on(engine, "audit.reseal", detail={"reason": reason}) as session:
            key, keys = seal_key(session, settings), readable_keys(session, settings)
            seal = begin_anew(session, key, keys, reason=reason, by=getuser())
        begun = {"number": seal.number, "sealed_at": seal.sealed_at, "note": seal.note}
    if as_json:
        say_json(begun)
    else:
        say(f"The chain begins anew with seal {begun['number']}. Every row is sealed again, 50,000 a minute; at once:"
            " tds audit seal. Then: tds audit verify")  # fmt: skip
