"""The pause of a source: stored in the database when the source asks for it, so that all processes wait."""

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
    """The error to put work off with while `source` is paused; None when calls may be made."""
    row = session.execute(REMAINING, {"source": source}).first()
    return None if row is None else RateError(f"paused: {row[1]}", after_seconds=row[0])


def pause(session: Session, source: str, error: SourceError) -> None:
    """Pause `source` for `error.after_seconds`, unless the error needs no pause."""
    if error.after_seconds > 0 and not error.needs_no_pause:
        params = {"source": source, "seconds": error.after_seconds, "reason": f"{error.code}: {error}"[:300]}
        session.execute(PAUSE, params)
