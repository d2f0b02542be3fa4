"""Restart: begins the chain of seals anew after a key was lost. The seals before stay, and are said to prove nothing.

Seals of a lost key cannot be told from forged ones. The new ones cover every row again, as it stands now.
"""

from collections.abc import Mapping

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail import chain, rolling_verification
from tds_core.audit_trail.chain import RESTARTED, Seal
from tds_core.audit_trail.rolling_verification import VerificationProgress
from tds_core.audit_trail.seal_keys import SealKey
from tds_core.audit_trail.verify import last_restart
from tds_core.errors import TdsError

log = structlog.get_logger(__name__)

_KEY_IDS = text("select distinct key_id from tds_audit_seals where number > :restart")


class NoKeyLostError(TdsError):
    """The keys of all seals are known: there is nothing to begin anew."""

    code = "no_key_lost"


def begin_anew(session: Session, key: SealKey, keys: Mapping[bytes, bytes], *, reason: str, by: str) -> Seal:
    """Append the seal with which the chain begins anew, made with `key`; `keys`: those that can be had, by id.

    The next round of sealing covers every row again, and the next verification begins at the first seal. Raises
    NoKeyLostError while the keys of all seals since the last restart are known.
    """
    head = chain.lock_head(session)
    used = session.execute(_KEY_IDS, {"restart": last_restart(session, keys)}).scalars()
    lost = {bytes(key_id) for key_id in used} - keys.keys()
    if not lost:
        raise NoKeyLostError("The keys of all seals are known, so the chain stays as it is. See: tds audit verify")
    nothing = {"columns": (), "ids": "{}", "digests": b"", "begins_at": None, "row_count": 0}
    head.waits = {}
    seal = chain.append(
        session, head, key, kind=RESTARTED, trail="tds_audit_seals", first_id=0, last_id=0, note=f"{by}: {reason}",
        **nothing,
    )  # fmt: skip
    chain.write_head(session, head)
    known = rolling_verification.stored_progress(session)
    rolling_verification.store_progress(session, VerificationProgress(last=known.last))
    log.warning("audit_chain_begun_anew", number=seal.number, operator=by, lost_key_count=len(lost))
    return seal
