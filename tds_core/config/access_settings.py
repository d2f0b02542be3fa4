"""Settings of access: log-ins, rate limits, and where events may be sent."""

import dataclasses
from ipaddress import ip_network
from typing import Any

from tds_core.config import declaration as d
from tds_core.config import sources as env


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuthSettings:
    """A part of `tds_core.config.settings.Settings`."""

    session_idle_seconds: float = d.access(
        "TDS_SESSION_IDLE_SECONDS", "seconds", 3600.0, "A log-in nobody uses ends after this.", d.MONTH, settable=True
    )
    session_seconds: float = d.access(
        "TDS_SESSION_SECONDS", "seconds", 43_200.0, "A log-in ends after this in any case.", d.MONTH, settable=True
    )
    requests_per_minute: int = d.access(
        "TDS_REQUESTS_PER_MINUTE", "integer", 1200, "Of one key or operator; 0: no limit.", d.CALLS, settable=True
    )
    address_requests_per_minute: int = d.access(
        "TDS_ADDRESS_REQUESTS_PER_MINUTE", "integer", 3000, "From one address; 0: no limit.", d.CALLS, settable=True
    )
    proxies: int = d.access(
        "TDS_PROXIES", "integer", 0, "Proxies before the API whose X-Forwarded-For is believed.", env.whole(0, 10)
    )
    url: str = d.access("TDS_URL", "text", "", "A TDS elsewhere for commands to ask: its address.", d.ADDRESS)
    api_key: str = d.access("TDS_API_KEY", "text", "", "The key they ask it with.", d.TOKEN, secret=True)


def _are_networks(written: Any) -> bool:
    try:
        return all(ip_network(each.strip()) for each in str(written).split(",") if each.strip())
    except ValueError:
        return False


NETWORKS = env.Rule(_are_networks, "networks such as 10.1.0.0/16, comma separated")
PORTS = env.matching(r"[1-9]\d{0,4}(,[1-9]\d{0,4})*", "ports, comma separated")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutboundSettings:
    """A part of `tds_core.config.settings.Settings`."""

    outbound_allow: str = d.outbound(
        "TDS_OUTBOUND_ALLOW", "text", "", "Inner networks events may be sent to; others are refused.", NETWORKS
    )
    outbound_ports: str = d.outbound(
        "TDS_OUTBOUND_PORTS", "text", "443,8443", "Ports events may be sent to.", PORTS
    )  # fmt: skip
    outbound_http: bool = d.outbound(
        "TDS_OUTBOUND_HTTP", "yes/no", False, "Send events over http:// too, where anybody on the way can read them."
    )
    outbound_timeout_seconds: float = d.outbound(
        "TDS_OUTBOUND_TIMEOUT_SECONDS",
        "seconds",
        15.0,
        "Longest wait for a receiver's answer.",
        env.whole(1, 60),
        settable=True,
    )
    outbound_at_once: int = d.outbound(
        "TDS_OUTBOUND_AT_ONCE", "integer", 32, "Requests one receiver gets at once.", env.whole(1, 256), settable=True
    )
    outbound_disable_seconds: float = d.outbound(
        "TDS_OUTBOUND_DISABLE_SECONDS", "seconds", 432_000.0, "So long in vain, and a subscription is disabled.",
        d.MONTH, settable=True
    )  # fmt: skip
