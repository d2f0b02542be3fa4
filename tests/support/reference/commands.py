"""The page of all commands, from the command line itself."""

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from tds_api.cli.app import app
from tests.support.reference.markdown import cell, code, page, table

OPENING = """Made from the command line itself (`make reference`). What exit codes, tables and counts mean says
[commands.md](../commands.md). Every command also has `--help`; `--json` prints its answer for a program."""
#: Options that are shown where a command is called, or not at all.
ELSEWHERE = {"--help", "--json"}


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each visible command below one, with the words it is called by, groups before their members."""
    yield path, command
    for name in sorted(getattr(command, "commands", {})):
        if not command.commands[name].hidden:
            yield from commands(command.commands[name], f"{path} {name}")


def usage(path: str, command: Any) -> str:
    """How a command is called: its words, then its arguments; those in brackets may be left out."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    shown = [f"{_name(each)}{' ...' if each.nargs != 1 else ''}" for each in arguments]
    words = [word if each.required else f"[{word}]" for each, word in zip(arguments, shown, strict=True)]
    json = ["[--json]"] if any("--json" in each.opts for each in command.params) else []
    return " ".join([path, *words, *(["COMMAND"] if getattr(command, "commands", None) else []), *json])


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name).upper().strip("[]")


def _option(option: Any) -> tuple[str, str]:
    spelled = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag else f" {option.metavar or _value(option.type_descriptor.annotation)}"
    again = " May be given several times." if option.multiple else ""
    return code(", ".join(spelled) + value), cell(f"{option.help or ''}{again}{_default(option)}")


def _value(annotation: Any) -> str:
    """What stands for an option's value: its choices, or the kind of value it takes."""
    kind = (getattr(annotation, "__args__", None) or [annotation])[0]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(each.value) for each in kind)
    return {str: "TEXT", Path: "FILE", datetime: "MOMENT"}.get(kind, "NUMBER")


def _default(option: Any) -> str:
    default = option.default
    if option.is_flag or default is None or callable(default) or default in ("", [], ()):
        return ""
    return f" Default: {getattr(default, 'value', default)}."


def section(path: str, command: Any) -> list[str]:
    """A command's own part of the page."""
    rows = [
        (code(_name(each)), cell(each.help))
        for each in command.params
        if each.param_type_name == "argument" and getattr(each, "help", None)
    ]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    rows += [_option(each) for each in options if not ELSEWHERE & set(each.opts)]
    depth = "##" if path.count(" ") <= 1 else "###"
    sentences = cell((command.help or "").replace("\b", ""))
    return [f"{depth} {path}", "", sentences, "", "```", usage(path, command), "```", "", *table(("", ""), rows)]


def commands_page() -> str:
    """The page, as it should stand in `docs/reference/commands.md`."""
    tree = typer.main.get_command(app)
    lines = [line for path, command in commands(tree, "tds") for line in section(path, command)]
    return page("Every command", OPENING, lines)
