"""`tds keys`: creates, lists and revokes API keys."""

from datetime import UTC, datetime, timedelta
from getpass import getuser
from typing import Annotated, Any

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import moment, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.auth import api_keys as core
from tds_models.auth import Role

keys = typer.Typer(no_args_is_help=True, help="API keys of programs: make, show and revoke them.")

_AS_JSON = typer.Option(False, "--json", help="For programs.")
_COLUMNS = ("prefix", "for", "role", "scopes", "made", "by", "ends", "last used", "from", "revoked")


@keys.command("list")
def listed(
    with_ended: bool = typer.Option(False, "--all", help="Also those that were revoked or have ended."),
    as_json: bool = _AS_JSON,
) -> None:
    """Show the keys, the newest first; never what opens."""
    if api := remote():
        rows = api.get("/keys", with_ended=with_ended)
    else:
        with transaction() as session:
            rows = core.keys(session, with_ended=with_ended)
    if as_json:
        say_json(rows)
    else:
        say_table("API keys", _COLUMNS, map(_row, rows), console=terminal())


@keys.command()
def create(
    name: str = typer.Argument(help="What it is for."),
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.VIEWER,
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help="Open only this part, such as entities; may be repeated.")
    ] = None,
    days: float = typer.Option(0.0, min=0.0, help="So long it lasts; without it, until it is revoked."),
    as_json: bool = _AS_JSON,
) -> None:
    """Make a key. It is shown now and never again."""
    ends_at = datetime.now(UTC) + timedelta(days=days) if days else None
    if api := remote():
        body: dict[str, Any] = {"name": name, "role": role.value, "scopes": scopes or []}
        made = api.post("/keys", {**body, **({"expires_at": ends_at.isoformat()} if ends_at else {})})
    else:
        detail = {"role": role.value, "scopes": scopes or []}
        with acting("keys.create", name, detail=detail) as session:
            row, key = core.create_key(
                session, name=name, role=role, by=getuser(), scopes=scopes or (), expires_at=ends_at
            )
        made = {**row, "key": key}
    if as_json:
        say_json(made)
        return
    say(made["key"])
    until = f"until {moment(made['expires_at'])}" if made["expires_at"] else "until it is revoked"
    says = f"Shown this once. It opens what a {role.value} may do, {until}. End it: tds keys revoke {made['prefix']}"
    say(says, err=True)


@keys.command()
def revoke(prefix: str = typer.Argument(help="A key, see: tds keys list"), as_json: bool = _AS_JSON) -> None:
    """End a key, at once and for ever."""
    if api := remote():
        row = api.change("DELETE", f"/keys/{prefix}")
    else:
        with acting("keys.revoke", prefix) as session:
            row = core.revoke_key(session, prefix, by=getuser())
    if as_json:
        say_json(row)
    else:
        say(f"The key {prefix} ({row['name']}) opens nothing any more.")


def _row(key: core.ApiKeyRow) -> tuple[Any, ...]:
    return (
        key["prefix"], key["name"], key["role"], ", ".join(key["scopes"]) or "all", key["created_at"],
        key["created_by"], key["expires_at"], key["last_used_at"], key["last_used_from"], key["revoked_at"],
    )  # fmt: skip
