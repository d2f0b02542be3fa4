"""Declaration of settings: their groups, and validation rules with a description of valid values."""

import dataclasses
import functools
from typing import Any

from tds_core.config import sources as env

ADDRESS = env.matching(r"https?://[^\s/]+\S*", "an http:// or https:// address")
DATABASE = env.matching(r"postgres(ql)?(\+psycopg2)?://\S+", "a postgresql:// address")
REDIS = env.matching(
    r"(rediss?|unix)://\S+|sentinel://[^\s/]+/\d*\?\S*master=\S+",
    "a redis:// or sentinel://HOST,HOST/0?master=NAME address",
)
BROKER = env.matching(
    # memory:// reaches nobody: what runs alone, such as a drill, nudges no worker of the running TDS.
    r"memory://|(rediss?|unix|amqps?)://\S+|sentinel://[^\s/]+/\d*\?\S*master=\S+",
    "a redis://, amqp:// or sentinel://HOST,HOST/0?master=NAME address",
)
FERNET_KEY = env.matching(r"[\w-]{43}=", "a Fernet key")
FERNET_KEYS = env.matching(r"[\w-]{43}=(,[\w-]{43}=)*", "one or more Fernet keys, comma separated")
TOKEN = env.matching(r"\S{16,}", "at least 16 characters without spaces")
# Zoho's form refuses any other secret, and a shorter one is guessable.
ZOHO_SECRET = env.matching(r"[A-Za-z0-9]{12,50}", "12 to 50 letters and digits")
PREFIX = env.matching(r"[A-Za-z0-9-]{1,20}", "1 to 20 letters, digits and hyphens")
RULE_TYPES = env.matching(r"\w+,\w+,\w+", "three words, comma separated")
PORT = env.whole(1, 65535)
NO_PORT = env.whole(0, 65535)
CALLS = env.whole(0, 1_000_000)
SHARE = env.whole(0, 30)
DAY = env.whole(0, 86_400)
LONG = env.whole(1, 86_400)
KEPT_DAYS = env.none_or(30, 36_500)
MONTH = env.whole(60, 2_592_000)


def declare(
    variable: str,
    kind: env.Kind,
    default: Any,
    meaning: str,
    rule: env.Rule = env.ANYTHING,
    *,
    group: str,
    secret: bool = False,
    settable: bool = False,
) -> Any:
    """A dataclass field that carries the declaration of one setting; `settable`: may be changed while TDS runs."""
    declaration = env.Declaration(variable, kind, default, meaning, group, rule, secret, settable)
    return dataclasses.field(default=default, repr=not secret, metadata={"declaration": declaration})


database = functools.partial(declare, group="Waiting for PostgreSQL")
storage = functools.partial(declare, group="Storage")
api = functools.partial(declare, group="API and security")
webhook = functools.partial(declare, group="Webhooks")
work = functools.partial(declare, group="Work")
quality = functools.partial(declare, group="Data quality", settable=True)
heal = functools.partial(declare, group="Auto-healing", settable=True)
alert = functools.partial(declare, group="Alerts")
outbound = functools.partial(declare, group="Outbound change events")
retention = functools.partial(declare, group="Retention", settable=True)
backup = functools.partial(declare, group="Backups")
letter = functools.partial(declare, group="Dead letters", settable=True)
breaker = functools.partial(declare, group="Circuit breakers", settable=True)
watch = functools.partial(declare, group="Logs, metrics, traces and Flower")
zoho = functools.partial(declare, group="Zoho")
access = functools.partial(declare, group="Access")
quota = functools.partial(declare, group="Quota of calls to Zoho")
