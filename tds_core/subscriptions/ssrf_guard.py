"""The SSRF guard: refuses to send events to internal addresses, unless their network is allowed.

The check is made on the very address a connection is opened to: a name that is resolved once for the check and again
for the connection could lead elsewhere the second time (DNS rebinding).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from tds_core.config.settings import Settings
from tds_core.errors import TdsError

Network = IPv4Network | IPv6Network
LONGEST_URL = 2000
#: Not of the Internet either, though older Pythons say so: protocol assignments, the old 6to4 relays, documentation.
OTHERS = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
#: Addresses of the hosting platform that look public.
PLATFORMS: frozenset[IPv4Address | IPv6Address] = frozenset({ip_address("168.63.129.16")})


class TargetRefusedError(TdsError):
    """Events may not be sent to this address."""

    code = "target_refused"


def is_internal(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is not a public one, or embeds one that may not be."""
    if not address.is_global or address.is_multicast or address.is_reserved or address in PLATFORMS:
        return True
    if any(address in network for network in OTHERS if network.version == address.version):
        return True
    if not isinstance(address, IPv6Address):
        return False
    # 6to4 and mapped addresses carry any IPv4 address inside. Python 3.14 judges a mapped one by what is inside, which
    # would pass by the lists above; what is translated is reserved.
    return address.is_site_local or address.sixtofour is not None or address.ipv4_mapped is not None


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """What may be reached: `ports` of public addresses and of the `allowed` networks; http only if `with_http`."""

    allowed: Sequence[Network] = ()
    ports: frozenset[int] = frozenset({443})
    with_http: bool = False

    def check_url(self, url: str) -> None:
        """Check a URL as far as is possible before its host is resolved. Raises TargetRefusedError."""
        if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            raise TargetRefusedError(
                f"An address has at most {LONGEST_URL} printable ASCII characters, no space or \\."
            )
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname or ""
        except ValueError:
            raise TargetRefusedError("This is not an address: https://host/path.") from None
        if parts.scheme != "https" and not (parts.scheme == "http" and self.with_http):
            raise TargetRefusedError("Events are sent to https:// addresses (http:// only with TDS_OUTBOUND_HTTP).")
        if not host or parts.username is not None or parts.password is not None or parts.fragment:
            raise TargetRefusedError("An address has a host, and neither a login nor a #fragment.")
        self.check_server(host, port or (443 if parts.scheme == "https" else 80))

    def check_server(self, host: str, port: int) -> None:
        """Check a server before its name is resolved, by its port and an IP address. Raises TargetRefusedError."""
        self._check_port(port)
        if (literal := _literal(host.strip("[]"))) is not None:
            self._check_network(literal)

    def check_connection(self, address: str, port: int) -> None:
        """Check the address a connection is about to be opened to. Raises TargetRefusedError."""
        self._check_port(port)
        self._check_network(ip_address(address.partition("%")[0]))

    def _check_port(self, port: int) -> None:
        if port not in self.ports:
            known = ", ".join(map(str, sorted(self.ports)))
            raise TargetRefusedError(
                f"Port {port} is not among those that may be reached ({known}). Name it in TDS_OUTBOUND_PORTS, or use"
                " another."
            )

    def _check_network(self, address: IPv4Address | IPv6Address) -> None:
        if is_internal(address) and not any(address in network for network in self.allowed):
            raise TargetRefusedError(
                f"{address} is an internal address. If events may go there, name its network in TDS_OUTBOUND_ALLOW."
            )


def target_policy(*, allowed: str, ports: str, with_http: bool) -> TargetPolicy:
    """A policy from the comma-separated texts of the settings."""
    networks = [ip_network(network.strip()) for network in allowed.split(",") if network.strip()]
    return TargetPolicy(networks, frozenset(int(port) for port in ports.split(",")), with_http)


def configured_policy(settings: Settings) -> TargetPolicy:
    """The policy of the settings TDS_OUTBOUND_ALLOW, TDS_OUTBOUND_PORTS and TDS_OUTBOUND_HTTP."""
    return target_policy(
        allowed=settings.outbound_allow, ports=settings.outbound_ports, with_http=settings.outbound_http
    )


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None
