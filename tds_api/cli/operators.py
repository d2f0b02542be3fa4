"""`tds operators`: creates, lists, changes and disables the people who use TDS."""

from getpass import getuser
from typing import Annotated, Any

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
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
    if api := remote():
        rows = api.get("/operators")
    else:
        with transaction() as session:
            rows = core.operators(session)
    if as_json:
        say_json(rows)
    else:
        say_table("Operators", _COLUMNS, map(_row, rows), console=terminal())


@operators.command()
def create(
    name: str = typer.Argument(help="What they log in with."),
    role: Annotated[Role, typer.Option(help="What they may do.")] = Role.VIEWER,
    ask: bool = _ASK,
    as_json: bool = _AS_JSON,
) -> None:
    """Let somebody in."""
    entered = _entered_password(ask)
    if api := remote():
        operator = api.post(
            "/operators", {"name": name, "role": role.value, **({"password": entered} if entered else {})}
        )
    else:
        with acting("operators.create", name, detail={"role": role.value}) as session:
            row, password = core.create_operator(session, name=name, role=role, by=getuser(), password=entered)
        operator = {**row, "password": None if entered else password}
    _say(operator, f"{operator['name']} may log in as {operator['role']}.", as_json)


@operators.command()
def role(name: str = _NAME, role: Annotated[Role, typer.Argument(help="What they may do from now on.")] = Role.VIEWER,
         as_json: bool = _AS_JSON) -> None:  # fmt: skip
    """Give an operator another role, which counts from their next request on."""
    if api := remote():
        operator = api.change("PATCH", f"/operators/{name}", {"role": role.value})
    else:
        with acting("operators.role", name, detail={"role": role.value}) as session:
            operator = core.change_role(session, name, role)
    _say(operator, f"{name} is {role.value} from now on.", as_json)


@operators.command()
def password(name: str = _NAME, ask: bool = _ASK, as_json: bool = _AS_JSON) -> None:
    """Give an operator another password; their sessions end."""
    entered = _entered_password(ask)
    if api := remote():
        operator = api.change(
            "PATCH", f"/operators/{name}", {"password": entered} if entered else {"new_password": True}
        )
    else:
        with acting("operators.password", name) as session:
            row, made = core.set_password(session, name, entered)
        operator = {**row, "password": None if entered else made}
    _say(operator, f"{name} has another password.", as_json)


@operators.command()
def disable(name: str = _NAME, as_json: bool = _AS_JSON) -> None:
    """Let an operator in no more, at once; what they did keeps their name."""
    if api := remote():
        operator = api.change("DELETE", f"/operators/{name}")
    else:
        with acting("operators.disable", name) as session:
            operator = core.disable(session, name)
    _say(operator, f"{name} is let in no more.", as_json)


@operators.command()
def enable(name: str = _NAME, as_json: bool = _AS_JSON) -> None:
    """Let a disabled operator in again."""
    if api := remote():
        operator = api.change("PATCH", f"/operators/{name}", {"is_disabled": False})
    else:
        with acting("operators.enable", name) as session:
            operator = core.enable(session, name)
    _say(operator, f"{name} is let in again.", as_json)


def _entered_password(ask: bool) -> str | None:
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True)) if ask else None


def _say(operator: dict[str, Any], says: str, as_json: bool) -> None:
    if as_json:
        say_json(operator)
        return
    say(says)
    if operator.get("password"):
        say(f"Password, shown this once: {operator['password']}")


def _row(operator: core.OperatorRow) -> tuple[Any, ...]:
    return (
        operator["name"], operator["role"], operator["created_at"], operator["created_by"], operator["last_login_at"],
        operator["password_changed_at"], operator["disabled_at"],
    )  # fmt: skip
