"""Promotion: views over the mirror take the old tables' names, and fallback takes every step of it back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import msgspec
import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tds_core.cutover.days import readiness
from tds_core.cutover.mapping import CutoverMapping
from tds_core.cutover.promotion_plan import PromotionStep, plan_promotion
from tds_core.cutover.sql_names import run
from tds_core.errors import AlreadyRunningError, ConfigError, TdsError
from tds_models.db import Lock

log = structlog.get_logger(__name__)

_NOT_PERMITTED, _LOCK_NOT_AVAILABLE = "42501", "55P03"


class NotReadyError(TdsError):
    """The days do not allow the promotion yet; the message says what is in the way."""

    code = "not_ready"


class AlreadyPromotedError(TdsError):
    """The mirror stands under the old names already."""

    code = "already_promoted"


class NotPromotedError(TdsError):
    """The mirror does not stand under the old names: there is nothing to take back."""

    code = "not_promoted"


class OldTableInUseError(TdsError):
    """Another session holds a lock on an old table; nothing was changed."""

    code = "old_table_in_use"
    retriable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionOrder:
    """Who promotes, and when it is allowed. `force_reason`: why it is done although the days do not allow it."""

    today: date
    days: int
    by: str
    force_reason: str = ""


_OPEN = text("select id, promoted_at, promoted_by, reason, steps from tds_cutover_promotions where ended_at is null")
_STORE = text("""
insert into tds_cutover_promotions (promoted_by, reason, mapping, steps)
values (:by, :reason, :mapping, cast(:steps as jsonb)) returning id
""")
_END = text("""
update tds_cutover_promotions set ended_at = now(), ended_by = :by, end_reason = :reason where id = :id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """The promotion that stands."""

    id: int
    promoted_at: datetime
    promoted_by: str
    reason: str
    steps: Sequence[PromotionStep]


def open_promotion(session: Session) -> Promotion | None:
    """The promotion that stands; None while the ERP reads the old tables."""
    row = session.execute(_OPEN).mappings().one_or_none()
    if row is None:
        return None
    return Promotion(**{**row, "steps": [PromotionStep(**step) for step in row["steps"]]})


def promote(
    session: Session, mapping: CutoverMapping, order: PromotionOrder, *, elsewhere: Connection | None = None
) -> list[PromotionStep]:
    """Put views over the mirror in the old tables' place, in this transaction. Returns the steps.

    `elsewhere`: the old tables' database, where that is another one; then views are made under the old names here.

    Raises NotReadyError, unless a reason is given to force it; AlreadyPromotedError; OldTableInUseError; MappingError;
    AlreadyRunningError while a comparison runs.
    """
    _alone(session)
    if (standing := open_promotion(session)) is not None:
        raise AlreadyPromotedError(f"{standing.promoted_by} promoted it before. Take that back first: tds migrate-from"
                                   " fallback --reason ...")  # fmt: skip
    check_readiness(session, mapping, order)
    steps = plan_promotion(session, mapping, elsewhere=elsewhere)
    for each in steps:
        _take(session, each.do, each.subject)
    params = {"by": order.by, "reason": order.force_reason, "mapping": mapping.text}
    session.execute(_STORE, {**params, "steps": msgspec.json.encode(steps).decode()})
    log.info("old_tables_replaced", operator=order.by, step_count=len(steps), is_forced=bool(order.force_reason))
    return steps


def check_readiness(session: Session, mapping: CutoverMapping, order: PromotionOrder) -> None:
    """Raise NotReadyError where the days do not allow the promotion and nothing forces it."""
    found = readiness(session, mapping, today=order.today, days=order.days)
    problems = [f"{each.entity}: {problem}" for each in found for problem in each.problems]
    if problems and not order.force_reason:
        raise NotReadyError(f"{'; '.join(problems)}. Go on comparing every day, or force it with a reason: --force"
                            ' --reason "..."')  # fmt: skip


def fall_back(session: Session, *, by: str, reason: str) -> Sequence[PromotionStep]:
    """Undo every step of the promotion that stands, the last one first. Returns the steps that were undone.

    Raises NotPromotedError, OldTableInUseError, and AlreadyRunningError.
    """
    _alone(session)
    standing = open_promotion(session)
    if standing is None:
        raise NotPromotedError("The old tables are in their place: there is no promotion to take back.")
    undone = [each for each in reversed(standing.steps) if each.undo]
    for each in undone:
        _take(session, each.undo, each.subject)
    session.execute(_END, {"id": standing.id, "by": by, "reason": reason})
    log.info("old_tables_restored", operator=by, step_count=len(undone))
    return undone


def _alone(session: Session) -> None:
    """Hold the lock of comparisons until the transaction ends: one under way would read the views for old tables."""
    if not session.execute(text(f"select pg_try_advisory_xact_lock({Lock.CUTOVER})")).scalar_one():
        raise AlreadyRunningError("A comparison with the old tables runs, or another promotion; nothing was changed."
                                  " Wait for its end, and try again.")  # fmt: skip


def _take(session: Session, statement: str, subject: str) -> None:
    try:
        run(session, statement)
    except DBAPIError as error:
        code = getattr(error.orig, "pgcode", None)
        said = _sentence(error)
        if code == _LOCK_NOT_AVAILABLE:
            raise OldTableInUseError(f"{subject}: another session uses it, and nothing was changed. Find it with: tds"
                                     " locks; then try again.") from None  # fmt: skip
        if code == _NOT_PERMITTED:
            raise ConfigError(f"{subject}: {said}. Name a role in TDS_MIGRATION_DATABASE_URL that owns the old tables"
                              " and may read the mirror. Nothing was changed.") from None  # fmt: skip
        raise ConfigError(f"{subject}: {said}. Nothing was changed.") from None


def _sentence(error: DBAPIError) -> str:
    """What PostgreSQL says, with its detail: which view depends on what goes."""
    lines = str(error.orig).strip().splitlines()
    details = [line.removeprefix("DETAIL:").strip() for line in lines[1:] if line.startswith("DETAIL:")]
    return "; ".join([lines[0], *details])
