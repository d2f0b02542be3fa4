"""The mark of a webhook's secret: Zoho never shows the secret again, so its mark stands in the description."""

import hashlib
import hmac
import re

_MARK = re.compile(r"\bmark ([0-9a-f]{8})\b")


def description(secret: str) -> str:
    """What a webhook of ours says about itself."""
    return f"Kept by TDS (tds zoho webhooks). Secret: mark {_mark(secret)}"


def fits(text: str, secret: str) -> bool | None:
    """Whether a webhook described so has this secret; `None` when its description does not tell."""
    found = _MARK.search(text)
    return None if found is None else hmac.compare_digest(found[1], _mark(secret))


def _mark(secret: str) -> str:
    return hmac.new(secret.encode(), b"tds webhook mark", hashlib.sha256).hexdigest()[:8]
