"""The advisory locks of TDS: one number each, so that two who have nothing to do with each other never wait."""

from enum import IntEnum, unique

from sqlalchemy import TextClause, text


@unique
class Lock(IntEnum):
    """Who holds it may do alone what it is named after; DISPATCHER for as long as its connection lasts."""

    MIGRATION = 7_404_202_611
    DISPATCHER = 7_404_202_612
    BULK_CLAIM = 7_404_202_613
    HEALING_CYCLE = 7_404_202_614
    OPERATORS = 7_404_202_615
    AUDIT_HEAD = 7_404_202_616
    RUN_REQUESTS = 7_404_202_617

    def until_commit(self) -> TextClause:
        """The statement that waits for this lock and keeps it until the transaction ends."""
        return text(f"select pg_advisory_xact_lock({self.value})")
