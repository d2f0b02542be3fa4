"""Settings of validation: how grave is what Zoho allows and a company may not want."""

import dataclasses

from tds_core.config import declaration as d
from tds_core.config import sources as env

_SEVERITY = env.one_of("error", "warning")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidationSettings:
    """A part of `tds_core.config.settings.Settings`."""

    negative_stock: str = d.quality(
        "TDS_NEGATIVE_STOCK", "text", "warning", "Stock below zero, which Zoho allows: error or warning.", _SEVERITY
    )
    missing_sku: str = d.quality(
        "TDS_MISSING_SKU", "text", "error", "A product without SKU: error or warning.", _SEVERITY
    )
    duplicate_sku: str = d.quality(
        "TDS_DUPLICATE_SKU", "text", "error", "Two living products of one SKU: error or warning.", _SEVERITY
    )
