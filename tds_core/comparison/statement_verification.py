"""The chain of statements: whether a statement verifies, and whether the stored chain has it in its place."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail.chain import BEGINNING
from tds_core.audit_trail.seal_keys import configured_keys
from tds_core.comparison import agreement_statements
from tds_core.comparison.agreement_statements import SignedStatement, StatementError
from tds_core.config.settings import Settings
from tds_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Verification:
    """What the verification of a statement found; without `reasons` nothing is wrong.

    `verifies`: None where no key is set to verify it with. `is_in_chain`: None where there was no chain to look into.
    """

    number: int
    verifies: bool | None
    reasons: list[str]
    is_in_chain: bool | None = None


def verify_alone(statement: SignedStatement, keys: Mapping[bytes, bytes]) -> Verification:
    """Verify a statement by itself: signature, roots and sums."""
    try:
        wrong = agreement_statements.verify(statement, keys)
    except StatementError as error:
        wrong = [str(error)]
    return Verification(statement.number, not wrong, wrong)


def verify_stored(session: Session, settings: Settings, statement: SignedStatement) -> Verification:
    """Verify a statement with every key that was ever used here, and look for it in the stored chain."""
    chain = chain_faults(session, statement)
    try:
        alone = verify_alone(statement, configured_keys(session, settings))
    except ConfigError as error:
        return Verification(statement.number, False if chain else None, [str(error), *chain], not chain)
    reasons = [*alone.reasons, *chain]
    return Verification(statement.number, not reasons, reasons, not chain)


_STORED = text("""
select encode(digest, 'hex') as digest,
       (select max(number) from tds_statements) as newest
from (select) as one left join tds_statements on number = :number
""")
# A statement that is missing, or was replaced, shows by the one after it.
_BROKEN = text("""
select number from (
    select number, previous, lag(digest, 1, decode(:beginning, 'hex')) over (order by number) as before,
           lag(number, 1, 0::bigint) over (order by number) as number_before
    from tds_statements) as linked
where previous <> before or number <> number_before + 1
order by number limit 5
""")


def chain_faults(session: Session, statement: SignedStatement) -> list[str]:
    """Why the stored chain does not bear a statement out; empty if it has it, and every link holds."""
    stored = session.execute(_STORED, {"number": statement.number}).one()
    faults = []
    if stored.newest is None:
        faults.append("no statement is stored here")
    elif stored.digest is None:
        faults.append(f"the chain has no statement {statement.number}; its newest is {stored.newest}")
    elif stored.digest != statement.digest:
        faults.append(f"statement {statement.number} of the chain is another one")
    broken = session.execute(_BROKEN, {"beginning": BEGINNING.hex()}).scalars().all()
    if broken:
        faults.append(f"the chain is broken before statement {', '.join(map(str, broken))}")
    return faults
