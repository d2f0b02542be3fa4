"""Settings of alerts: what messages call this installation, and who outside is told of its progress."""

import dataclasses

from tds_core.config import declaration as d


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlertSettings:
    """A part of `tds_core.config.settings.Settings`."""

    installation: str = d.alert(
        "TDS_INSTALLATION", "text", "", "What messages of alerts call this TDS; unset: the machine's name."
    )
    heartbeat_url: str = d.alert(
        "TDS_HEARTBEAT_URL", "text", "", "Called each minute in which TDS makes progress: a dead man's switch.",
        d.ADDRESS, secret=True,
    )  # fmt: skip
    heartbeat_fail_url: str = d.alert(
        "TDS_HEARTBEAT_FAIL_URL", "text", "", "Gets the reason, once, when it makes none any more.", d.ADDRESS,
        secret=True,
    )  # fmt: skip
