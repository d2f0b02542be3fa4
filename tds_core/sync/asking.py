"""Asking for a run of any mode: the one door for the API and the command line."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from tds_core.errors import TdsError
from tds_core.sync.runs import request_dry_run, request_run
from tds_core.sync.targeted import request_records
from tds_models.runs import Mode


class AskedWrongError(TdsError):
    """What was asked for does not go together."""

    code = "invalid_arguments"


def ask(
    session: Session,
    *,
    entity: str,
    mode: str,
    requested_by: str,
    ids: Sequence[str] = (),
    full: bool = False,
    force: bool = False,
    correlation_id: str = "",
) -> int:
    """Ask for a run; `ids` belong to targeted ones, `full` to dry ones. Returns its id. Raises AskedWrongError.

    `force`: what is read of the records `ids` is taken, whatever its time of change says.

    A pass that is open already is not begun twice: the answer is the id of the one that brings at least as much.
    """
    if (mode == Mode.TARGETED) != bool(ids):
        raise AskedWrongError("Ids belong to mode targeted, and to no other.")
    if full and mode != Mode.DRY_RUN:
        raise AskedWrongError("`full` says how a dry run reads; for a full pass ask for mode full.")
    if force and mode != Mode.TARGETED:
        raise AskedWrongError("`force` has given records read whatever their time says: mode targeted, and its ids.")
    given = {"entity": entity, "requested_by": requested_by, "correlation_id": correlation_id}
    if mode == Mode.TARGETED:
        return request_records(session, source_ids=ids, forced=force, **given)
    if mode == Mode.DRY_RUN:
        return request_dry_run(session, full=full, **given)
    return request_run(session, mode=mode, **given)
