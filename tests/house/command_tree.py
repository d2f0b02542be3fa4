"""The tree of commands, by which what documents show is checked."""

import shlex
from functools import cache
from typing import Any

import typer

from tds_api.cli.app import app


@cache
def tree() -> Any:
    """The command `tds` with all below it."""
    return typer.main.get_command(app)


def fault_of(written: str, *, is_whole: bool = True) -> str:
    """What is wrong with a command; empty where it can be run as it is written.

    Not `is_whole`: a sentence names the command, and may leave its arguments out.
    """
    here, words = tree(), shlex.split(written)[1:]
    while words and words[0] in getattr(here, "commands", {}):
        here = here.commands[words.pop(0)]
    if hasattr(here, "commands") and (words or is_whole) and not here.invoke_without_command:
        return f"there is no {words[:1]}"
    options = {name: each for each in here.params for name in (*each.opts, *each.secondary_opts)}
    values, unknown = split(words, options)
    if unknown:
        return f"it has no {unknown[0]}"
    arguments = [each for each in here.params if each.param_type_name == "argument"]
    required = sum(each.required for each in arguments) if is_whole else 0
    return "" if required <= len(values) <= len(arguments) else f"it takes {required} to {len(arguments)} arguments"


def split(words: list[str], options: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The arguments among the words behind a command, and the options it does not have."""
    values, unknown, rest = [], [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            values.append(word)
        elif word != "--help" and word not in options:
            unknown.append(word)
        elif word in options and not options[word].is_flag:
            rest[:1] = []
    return values, unknown
