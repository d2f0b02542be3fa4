"""The pause: when a source asks to be left alone, every worker hears of it before its next question."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import RateError, SourceError

REMAINING = text("""
select extract(epoch from paused_until - clock_timestamp())::float8, pause_reason
from tds_source_tokens where source = :source and paused_until > clock_timestamp()
""")

PAUSE = text("""
insert into tds_source_tokens as t (source, paused_until, pause_reason)
values (:source, clock_timestamp() + make_interval(secs => :seconds), :reason)
on conflict (source) do update set pause_reason = excluded.pause_reason,
    paused_until = greatest(t.paused_until, excluded.paused_until)
""")


def pause_left(session: Session, source: str) -> RateError | None:
    """The error to put work off with while `source` is paused, or `None` when it may be asked."""
    row = session.execute(REMAINING, {"source": source}).first()
    return None if row is None else RateError(f"paused: {row[1]}", after_seconds=row[0])


def pause(session: Session, source: str, error: SourceError) -> None:
    """Leave `source` alone for as long as `error` says, unless whoever has to know that knows already."""
    if error.after_seconds > 0 and not error.needs_no_pause:
        params = {"source": source, "seconds": error.after_seconds, "reason": f"{error.code}: {error}"[:300]}
        session.execute(PAUSE, params)
