"""Settings of outbound change events: where they may be sent, how long a receiver may take, when it is given up."""

import dataclasses
from ipaddress import ip_network
from typing import Any

from tds_core import declaring as d
from tds_core import environment as env


def _are_networks(written: Any) -> bool:
    try:
        return all(ip_network(each.strip()) for each in str(written).split(",") if each.strip())
    except ValueError:
        return False


NETWORKS = env.Rule(_are_networks, "networks such as 10.1.0.0/16, comma separated")
PORTS = env.matching(r"[1-9]\d{0,4}(,[1-9]\d{0,4})*", "ports, comma separated")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutboundSettings:
    """A part of `tds_core.config.Settings`."""

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
        "TDS_OUTBOUND_TIMEOUT_SECONDS", "seconds", 15.0, "Longest wait for a receiver's answer.", env.whole(1, 60)
    )
    outbound_at_once: int = d.outbound(
        "TDS_OUTBOUND_AT_ONCE", "integer", 32, "Requests one receiver gets at once.", env.whole(1, 256)
    )
    outbound_disable_seconds: float = d.outbound(
        "TDS_OUTBOUND_DISABLE_SECONDS", "seconds", 432_000.0, "So long in vain, and a subscription is disabled.",
        d.MONTH,
    )  # fmt: skip
