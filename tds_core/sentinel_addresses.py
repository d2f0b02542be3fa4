"""Addresses of a Redis behind Sentinels: `sentinel://[[user]:password@]host[:port][,host[:port]...]/[database]?master=NAME`.

User and password are those of Redis; the Sentinels' own password is `sentinel_password` in the query.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote

DEFAULT_PORT = 26379

_ADDRESS = re.compile(
    r"sentinel://(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?(?P<hosts>[^@/?]+)(?:/(?P<database>\d*))?(?:\?(?P<query>.*))?"
)


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """The Sentinels that know where the master `master_name` is, and who may use it."""

    hosts: tuple[tuple[str, int], ...]
    master_name: str
    database: int
    username: str | None
    password: str | None
    sentinel_password: str | None

    @property
    def urls(self) -> str:
        """One address for each Sentinel, parted by semicolons, as Celery expects them."""
        user = f"{quote(self.username or '', safe='')}:{quote(self.password, safe='')}@" if self.password else ""
        return ";".join(f"sentinel://{user}{host}:{port}/{self.database}" for host, port in self.hosts)


def is_sentinel(url: str) -> bool:
    """Whether an address names Sentinels."""
    return url.startswith("sentinel://")


def parse_sentinel(url: str) -> SentinelAddress:
    """Read an address. Raises `ValueError` that says what is missing."""
    parts = _ADDRESS.fullmatch(url)
    query = parse_qs(parts["query"] or "") if parts else {}
    if parts is None or "master" not in query:
        raise ValueError("An address of Sentinels looks like sentinel://:password@one:26379,two:26379/0?master=NAME")
    unknown = sorted(set(query) - {"master", "sentinel_password"})
    if unknown:
        raise ValueError(f"An address of Sentinels has master and sentinel_password behind the ?, and no {unknown[0]}")
    return SentinelAddress(
        hosts=tuple(_host(each) for each in parts["hosts"].split(",")),
        master_name=query["master"][0],
        database=int(parts["database"] or 0),
        username=unquote(parts["user"]) if parts["user"] else None,
        password=unquote(parts["password"]) if parts["password"] else None,
        sentinel_password=query.get("sentinel_password", [None])[0],
    )


def _host(spelled: str) -> tuple[str, int]:
    host, colon, port = spelled.rpartition(":")
    if not colon:
        return spelled, DEFAULT_PORT
    if not port.isdecimal() or not host:
        raise ValueError(f"{spelled} names no Sentinel: host:port")
    return host, int(port)
