"""Sessions of an operator, as lists show them: which are open, and ending one or all of them."""

from datetime import datetime
from typing import TypedDict, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.auth.operators import operator_named
from tds_core.auth.sessions import Lifetime, digest_of
from tds_core.errors import NotFoundError

# The id is the beginning of a digest, which neither opens anything nor tells the token.
_ID = "encode(substring(s.token_digest for 8), 'hex')"
_OPEN = text(f"""
select {_ID} as id, s.began_at, s.last_used_at,
       least(s.ends_at, s.last_used_at + make_interval(secs => :idle_seconds)) as ends_at, s.remote_address,
       coalesce(s.token_digest = :current, false) as is_current
from tds_operator_sessions s join tds_operators o on o.id = s.operator_id
where o.name = :name and s.ends_at > now() and s.last_used_at > now() - make_interval(secs => :idle_seconds)
order by s.last_used_at desc, id
""")
_END = text(f"""
delete from tds_operator_sessions s using tds_operators o
where o.id = s.operator_id and o.name = :name and (cast(:id as text) is null or {_ID} = :id)
  and s.token_digest is distinct from :kept
""")


class OperatorSessionRow(TypedDict):
    """An open session. `ends_at`: when it ends unless it is used; `is_current`: the one that asks."""

    id: str
    began_at: datetime
    last_used_at: datetime
    ends_at: datetime
    remote_address: str | None
    is_current: bool


def open_sessions(
    session: Session, name: str, *, lifetime: Lifetime, current_token: str | None = None
) -> list[OperatorSessionRow]:
    """The open sessions of an operator, the one used last first. Raises NotFoundError."""
    operator = operator_named(session, name)
    params = {
        "name": operator["name"],
        "idle_seconds": lifetime.idle_seconds,
        "current": None if current_token is None else digest_of(current_token),
    }
    return cast("list[OperatorSessionRow]", [dict(row) for row in session.execute(_OPEN, params).mappings()])


def end_session(session: Session, name: str, session_id: str) -> None:
    """End one session of an operator, from its next request on. Raises NotFoundError."""
    operator = operator_named(session, name)
    if not _end(session, operator["name"], session_id):
        raise NotFoundError(
            f"{operator['name']} has no session {session_id[:40]!r}; see: tds operators sessions {operator['name']}"
        )


def end_sessions(session: Session, name: str, *, kept_token: str | None = None) -> int:
    """End all sessions of an operator but the one of `kept_token`. Returns how many; raises NotFoundError."""
    return _end(session, operator_named(session, name)["name"], None, kept_token)


def _end(session: Session, name: str, session_id: str | None, kept_token: str | None = None) -> int:
    kept = None if kept_token is None else digest_of(kept_token)
    return int(getattr(session.execute(_END, {"name": name, "id": session_id, "kept": kept}), "rowcount", 0))
