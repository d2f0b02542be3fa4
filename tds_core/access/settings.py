"""Settings of access: how long sessions last, how much may be asked, and where commands find a TDS elsewhere."""

import dataclasses

from tds_core import declaring as d
from tds_core import environment as env


@dataclasses.dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """A part of `tds_core.config.Settings`."""

    session_idle_seconds: float = d.access(
        "TDS_SESSION_IDLE_SECONDS", "seconds", 3600.0, "A log-in nobody uses ends after this.", d.MONTH
    )
    session_seconds: float = d.access(
        "TDS_SESSION_SECONDS", "seconds", 43_200.0, "A log-in ends after this in any case.", d.MONTH
    )
    requests_per_minute: int = d.access(
        "TDS_REQUESTS_PER_MINUTE", "integer", 1200, "Of one key or operator; 0: no limit.", d.CALLS
    )
    address_requests_per_minute: int = d.access(
        "TDS_ADDRESS_REQUESTS_PER_MINUTE", "integer", 3000, "From one address; 0: no limit.", d.CALLS
    )
    proxies: int = d.access(
        "TDS_PROXIES", "integer", 0, "Proxies before the API whose X-Forwarded-For is believed.", env.whole(0, 10)
    )
    url: str = d.access("TDS_URL", "text", "", "A TDS elsewhere for commands to ask: its address.", d.ADDRESS)
    api_key: str = d.access("TDS_API_KEY", "text", "", "The key they ask it with.", d.TOKEN, secret=True)
