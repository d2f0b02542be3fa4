"""`tds verify statement`: verifies a statement of agreement from a file, with nothing but the secret key."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import typer

from tds_api.cli.common.database import DatabaseAwayError, database
from tds_api.cli.common.output import moment, say, say_json
from tds_api.cli.common.remote_api import RemoteRefusedError, remote
from tds_core.audit_trail.seal_keys import derived_keys
from tds_core.comparison import agreement_statements
from tds_core.comparison.agreement_statements import SignedStatement
from tds_core.comparison.statement_verification import Verification, verify_alone, verify_stored
from tds_core.config.settings import Settings, load_settings
from tds_core.errors import ConfigError
from tds_models.db import session_scope


def statement(
    file: str = typer.Argument(
        metavar="FILE", help="As `tds compare --statement FILE` wrote it; - for standard input."
    ),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Prove a statement of agreement: that it is what was signed, and adds up. Needs TDS_SECRET_KEY and no database.

    Where a TDS is here (or TDS_URL names one), its chain must have the statement as well.

    Exit code 1: it is not what was signed, or contradicts itself, or the chain has another.
    """
    signed = agreement_statements.from_json(_read(file))
    found = _verified(signed, load_settings())
    if as_json:
        say_json({**msgspec.to_builtins(found), "statement": _summary(signed) if found.verifies else None})
    else:
        _show(found, signed)
    if not found.verifies:
        raise typer.Exit(1)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"The file cannot be read: {error}") from None


def _verified(signed: SignedStatement, settings: Settings) -> Verification:
    alone = verify_alone(signed, derived_keys(settings))
    if api := remote():
        return _beside(alone, signed, api)
    if not settings.database_url:
        return alone
    try:
        with database(settings) as engine, session_scope(engine) as session:
            return verify_stored(session, settings, signed)
    except DatabaseAwayError as error:
        say(f"It was not looked for in the chain: {error}", err=True)
        return alone


def _beside(alone: Verification, signed: SignedStatement, api: Any) -> Verification:
    """What is found alone, and whether the remote TDS has the statement in its chain."""
    try:
        stored = api.get(f"/statistics/statement/{signed.number}")
    except RemoteRefusedError as error:
        if error.code != "not_found":
            raise
        return _outside(alone, f"the chain there has no statement {signed.number}")
    if stored["digest"] != signed.digest:
        return _outside(alone, f"statement {signed.number} of the chain there is another one")
    return replace(alone, is_in_chain=True)


def _outside(alone: Verification, reason: str) -> Verification:
    return replace(alone, verifies=False, reasons=[*alone.reasons, reason], is_in_chain=False)


def _summary(signed: SignedStatement) -> dict[str, Any]:
    """What a statement states, without its buckets."""
    content = signed.content()
    entities = {
        name: {key: value for key, value in part.items() if key != "buckets"}
        for name, part in content["entities"].items()
    }
    return {**content, "entities": entities}


def _show(found: Verification, signed: SignedStatement) -> None:
    if not found.verifies:
        say(f"Statement {signed.number} is not proven:")
        for reason in found.reasons:
            say(f"  {reason}")
        return
    content = signed.content()
    chain = "" if found.is_in_chain is None else ", and the chain has it in its place"
    say(f"Statement {signed.number} is what was signed at {moment(signed.made_at)}, and adds up{chain}.")
    say(
        f"It says: {content['agreement']}, as of {content['as_of']}: {content['equal_count']:,} of"
        f" {content['record_count']:,} records equal, {content['difference_count']:,} differ;"
        f" {len(content['entities'])} entities of organisation {content['organization_id']},"
        f" {content['api_call_count']:,} calls, TDS {content['version']}."
    )
    for name, part in content["entities"].items():
        say(f"  {name}: {part['agreement']}, {part['there_count']:,} records, root {part['root_there']}")
        for record in part.get("differences", {}).get("records", ()):
            fields = ", ".join(record["fields"])
            say(f"    {record['id']}: {record['kind'].replace('_', ' ')}{f' in {fields}' if fields else ''}")
