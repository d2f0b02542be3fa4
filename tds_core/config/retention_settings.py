"""Settings of retention: how long TDS keeps what it stored about its work."""

import dataclasses

from tds_core.config import declaration as d
from tds_core.config import sources as env

KEPT_DAYS = env.whole(1, 36_500)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """A part of `tds_core.config.settings.Settings`."""

    audit_days: int = d.retention(
        "TDS_AUDIT_DAYS", "integer", 0, "How long history is kept, at least 30 days. 0: for ever.", d.KEPT_DAYS
    )
    events_days: int = d.retention(
        "TDS_EVENTS_DAYS", "integer", 7, "How long webhooks are kept, those that were refused too.", KEPT_DAYS
    )
    attempts_days: int = d.retention(
        "TDS_ATTEMPTS_DAYS", "integer", 90, "How long the log of attempts is kept.", KEPT_DAYS
    )
    metrics_days: int = d.retention(
        "TDS_METRICS_DAYS", "integer", 30, "How long measured values of alert rules are kept.", KEPT_DAYS
    )
