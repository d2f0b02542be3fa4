"""`tds operators`: the people who use TDS, let in, given a role or another password, and shut out."""

from getpass import getuser
from typing import Annotated, Any

import typer

from tds_api.cli.console.action_log import acting
from tds_api.cli.console.database import transaction
from tds_api.cli.console.output import say, say_json, say_table, terminal
from tds_api.cli.console.remote import remote
from tds_core.auth import operators as core
from tds_models.auth import Role

operators = typer.Typer(no_args_is_help=True, help="People who use TDS: let them in, change what they may do.")

_AS_JSON = typer.Option(False, "--json", help="For programs.")
_NAME = typer.Argument(help="An operator, see: tds operators list")
_ASK = typer.Option(False, "--ask", help="Type the password; without it one is made and shown once.")
_COLUMNS = ("name", "role", "made", "by", "last log-in", "password of", "disabled")


@operators.command("list")
def listed(as_json: bool = _AS_JSON) -> None:
    """Show the operators, the disabled ones too."""
    if there := remote():
        found = there.get("/operators")
    else:
        with transaction() as session:
            found = core.operators(session)
    if as_json:
        say_json(found)
    else:
        say_table("Operators", _COLUMNS, map(_row, found), console=terminal())


@operators.command()
def create(
    name: str = typer.Argument(help="What they log in with."),
    role: Annotated[Role, typer.Option(help="What they may do.")] = Role.VIEWER,
    ask: bool = _ASK,
    as_json: bool = _AS_JSON,
) -> None:
    """Let somebody in."""
    given = _asked(ask)
    if there := remote():
        made = there.post("/operators", {"name": name, "role": role.value, **({"password": given} if given else {})})
    else:
        with acting("operators.create", name, detail={"role": role.value}) as session:
            row, password = core.create_operator(session, name=name, role=role, by=getuser(), password=given)
        made = {**row, "password": None if given else password}
    _say(made, f"{made['name']} may log in as {made['role']}.", as_json)


@operators.command()
def role(name: str = _NAME, role: Annotated[Role, typer.Argument(help="What they may do from now on.")] = Role.VIEWER,
         as_json: bool = _AS_JSON) -> None:  # fmt: skip
    """Give an operator another role, which counts from their next request on."""
    if there := remote():
        found = there.change("PATCH", f"/operators/{name}", {"role": role.value})
    else:
        with acting("operators.role", name, detail={"role": role.value}) as session:
            found = core.change_role(session, name, role)
    _say(found, f"{name} is {role.value} from now on.", as_json)


@operators.command()
def password(name: str = _NAME, ask: bool = _ASK, as_json: bool = _AS_JSON) -> None:
    """Give an operator another password; their sessions end."""
    given = _asked(ask)
    if there := remote():
        found = there.change("PATCH", f"/operators/{name}", {"password": given} if given else {"new_password": True})
    else:
        with acting("operators.password", name) as session:
            row, made = core.set_password(session, name, given)
        found = {**row, "password": None if given else made}
    _say(found, f"{name} has another password.", as_json)


@operators.command()
def disable(name: str = _NAME, as_json: bool = _AS_JSON) -> None:
    """Let an operator in no more, at once; what they did keeps their name."""
    if there := remote():
        found = there.change("DELETE", f"/operators/{name}")
    else:
        with acting("operators.disable", name) as session:
            found = core.disable(session, name)
    _say(found, f"{name} is let in no more.", as_json)


@operators.command()
def enable(name: str = _NAME, as_json: bool = _AS_JSON) -> None:
    """Let a disabled operator in again."""
    if there := remote():
        found = there.change("PATCH", f"/operators/{name}", {"is_disabled": False})
    else:
        with acting("operators.enable", name) as session:
            found = core.enable(session, name)
    _say(found, f"{name} is let in again.", as_json)


def _asked(ask: bool) -> str | None:
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True)) if ask else None


def _say(found: dict[str, Any], says: str, as_json: bool) -> None:
    if as_json:
        say_json(found)
        return
    say(says)
    if found.get("password"):
        say(f"Password, shown this once: {found['password']}")


def _row(found: dict[str, Any]) -> tuple[Any, ...]:
    return (
        found["name"], found["role"], found["created_at"], found["created_by"], found["last_login_at"],
        found["password_changed_at"], found["disabled_at"],
    )  # fmt: skip
