"""Query classes: the time of statements by verb and by the part of TDS their table belongs to."""

import re
from functools import lru_cache
from typing import Any

from tds_core.observability.metrics import query_seconds

#: Part of TDS by the beginning of a table's or function's name, the first that fits; other tables are `other`.
PARTS = (
    ("tds_inbox", "inbox"),
    ("tds_sync_queue", "queue"),
    ("tds_sync_logs", "queue"),
    ("tds_get_queue", "queue"),
    ("tds_sync", "runs"),
    ("tds_audit", "history"),
    ("tds_operator_actions", "history"),
    ("tds_alert", "alerts"),
    ("tds_dead", "dead_letters"),
    ("tds_statistics", "statistics"),
    ("tds_metric", "statistics"),
    ("tds_comparison", "comparison"),
    ("tds_", "other"),
)
VERBS = frozenset({"select", "insert", "update", "delete"})
MIRROR, OTHER = "mirror", "other"

_VERB = re.compile(r"\b(insert into|update|delete from|select)\b", re.IGNORECASE)
_TABLE = re.compile(r"\b(?:from|into|update|join)\s+(?:only\s+)?\"?((?:erp\"?\.\"?|tds_)\w*)", re.IGNORECASE)
# A statement may begin with settings of its own: `set local lock_timeout = '2s';`.
_SETTINGS = re.compile(r"^(?:\s*set\b[^;]*;)+", re.IGNORECASE)
_READ_CHARACTERS = 4000


@lru_cache(maxsize=2048)
def classify(statement: str) -> tuple[str, str]:
    """Verb and part of a statement; a statement that writes and reads counts as its write."""
    read = _SETTINGS.sub("", statement[:_READ_CHARACTERS])
    found = {match.split()[0].lower() for match in _VERB.findall(read)}
    verb = next((each for each in ("insert", "update", "delete", "select") if each in found), OTHER)
    tables = [name.lower() for name in _TABLE.findall(read)]
    return verb, _part(tables)


def _part(tables: list[str]) -> str:
    if any(name.startswith("erp") for name in tables):
        return MIRROR
    return next((part for name in tables for start, part in PARTS if name.startswith(start)), OTHER)


def observe_query(statement: str, seconds: float) -> None:
    """Count one statement under its class."""
    _series(*classify(statement)).observe(seconds)


@lru_cache(maxsize=256)
def _series(verb: str, part: str) -> Any:
    return query_seconds.labels(verb, part)
