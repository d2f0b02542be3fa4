"""Names are the field's nouns: words that only this code base understood do not come back."""

import ast
import re
from collections.abc import Iterator

from tests.house.code import Module, offenders
from tests.house.test_grain import spoken

TDS = ("tds_models", "tds_core", "tds_tasks", "tds_local", "tds_api", "tds_lab")
#: A word that named something here, and what the field calls it.
GIVEN_UP = {
    "letter letters": "dead letter",
    "trail": "audit trail, append-only table",
    "access": "auth; OAuth token; connection status",
    "reading": "query, read model; fetch",
    "lane lanes parcel parcels spread spreading": "delivery queue, claimed event, fan-out",
    "standing standings": "status, health",
    "glance sighting survey sides surroundings past": "envelope, page context, comparison, infrastructure, as-of",
    "told untold tell teller": "reported, missing, log, notify",
    "said unsaid": "a key that is there or missing",
    "given wanted": "params; desired",
    "familiar": "known keys",
    "behind": "rank",
    "owe owed": "due, enqueue",
    "deed deeds": "action result",
    "ear ears care deaf deafness": "worker check, context, worker liveness",
    "sifting resting waking feeding mending settling": "isolate, throttle, wake up, dependents, apply, complete",
    "passes": "pages of a run",
    "door gate bell edge kept": "endpoint, middleware, nudger, context, idempotency",
    "trial convict guilty": "isolation, poison message",
    "pulse": "heartbeat",
    "enduring heard": "failover store, cached state",
    "play stage acts arena glimpse picture": "run, environment, phases, context, snapshot, layout",
    "words": "text",
}
#: Plain English in its place, or a word that a standard or a table has, without the underscore before it.
ALLOWED = {
    **dict.fromkeys(("access_token", "access_tokens"), "OAuth's word"),
    **dict.fromkeys(
        ("access_check", "access_refusal", "access_report", "access_schema", "access_settings", "access_status"),
        "access itself: what a token, or a caller, may reach",
    ),
    **dict.fromkeys(("is_behind", "is_left_behind"), "an adverb"),
}
#: Packages of the feature whose short name is the word.
AT_HOME = {"letter": "dead_letter", "letters": "dead_letter"}


def names_in(module: Module) -> Iterator[str]:
    """The names a module gives: its own and its folders', its classes and its functions."""
    yield from module.name.removesuffix(".py").split("/")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def given_up_in(module: Module) -> list[str]:
    """Names with a word that was given up."""
    words = {word for spellings in GIVEN_UP for word in spellings.split()}
    words -= {word for word, package in AT_HOME.items() if package in module.name}
    names = {name: spoken(name).strip("_") for name in names_in(module)}
    plain = {
        name: re.sub(r"dead_letters?|given_up|audit_trail", "", text)
        for name, text in names.items()
        if text not in ALLOWED
    }
    return sorted(name for name, text in plain.items() if words & set(text.split("_")))


def test_a_word_that_was_given_up_is_found() -> None:
    source = (
        "class DeadLetter: ...\nclass Lane: ...\ndef _teller(): ...\ndef fortelling(): ...\ndef access_token(): ..."
    )
    assert given_up_in(Module("tds_core/x/letters.py", source)) == ["Lane", "_teller", "letters"]
    assert given_up_in(Module("tds_core/dead_letters/burial.py", "def lock_letters(): ...")) == []


def test_words_that_were_given_up_do_not_come_back() -> None:
    assert offenders(given_up_in, *TDS) == {}
