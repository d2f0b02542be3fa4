"""What goes wrong with webhooks: each fault a probability, settable while the sandbox runs."""

import msgspec


class WebhookFaults(msgspec.Struct, frozen=True, kw_only=True):
    """Chances are 0 to 1, each drawn on its own for every change; seconds are [least, most]."""

    delay_seconds: tuple[float, float] = (0.0, 0.0)
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    stale: float = 0.0
    partial: float = 0.0
    forge: float = 0.0
    # At least this long from one forged delivery to the next; 0 lets every one through.
    forge_gap_seconds: float = 0.0
    # A delivery held back for a later change of the same record goes out after this long if none comes.
    reorder_hold_seconds: float = 5.0
    # The retry policy: pauses before each further attempt of a delivery not answered with 2xx; empty is Zoho's default.
    retry_seconds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("drop", "duplicate", "reorder", "stale", "partial", "forge"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a chance between 0 and 1")
        least, most = self.delay_seconds
        if least < 0 or most < least:
            raise ValueError("delay_seconds is [least, most]")
