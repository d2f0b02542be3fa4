"""The check whether the mirror holds rows of one organisation alone."""

from collections.abc import Iterator, Sequence

from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.doctor_checks.result import CheckResult, database_session, doubtful, well, wrong
from tds_core.config.settings import Settings
from tds_core.database_errors import is_out_of_time
from tds_core.sources import mirrored_organization
from tds_core.sync.foreign_organization_rows import ForeignRows, Hint, foreign_rows, hints
from tds_models.db import set_statement_timeout

_CHECK = "Organisation"
#: Reading every record of a large mirror takes longer: then `tds verify` has to.
SECONDS = 10


def one_organization(settings: Settings) -> Iterator[CheckResult]:
    """Whether rows of another organisation live beside those of the mirrored one, as far as the database can tell."""
    if not settings.database_url:
        return
    try:
        with database_session(settings) as session:
            mirrored, hinted = mirrored_organization.mirrored(session, "zoho"), hints(session)
        named = _named(settings)
    except SQLAlchemyError:
        yield doubtful(_CHECK, "is kept in the database, which cannot be read", "tds migrate")
        return
    yield from _mixed(mirrored, named or (), hinted)
    if named is None:
        says = f"whether rows name another organisation was not found out within {SECONDS} s"
        yield doubtful(_CHECK, says, "tds verify")
    elif mirrored and not named and not hinted:
        yield well(_CHECK, f"no row is known to be of another than {mirrored}")


def _named(settings: Settings) -> list[ForeignRows] | None:
    """Rows by the organisation their records name; None if reading them all took too long."""
    try:
        with database_session(settings) as session:
            set_statement_timeout(session, SECONDS)
            return foreign_rows(session)
    except SQLAlchemyError as error:
        if is_out_of_time(error):
            return None
        raise


def _mixed(mirrored: str | None, named: Sequence[ForeignRows], hinted: Sequence[Hint]) -> Iterator[CheckResult]:
    held = {each.entity: each for each in hinted if each.run_id is not None}
    for entity in sorted({each.entity for each in named} | held.keys()):
        rows = [each for each in named if each.entity == entity]
        says = "; ".join([*(describe_rows(each, mirrored) for each in rows), *map(describe_hold, _only(held, entity))])
        yield wrong(_CHECK, says, next_step(entity, held.get(entity)))
    strangers = [each for each in hinted if each.stranger_count]
    if strangers:
        yield doubtful(_CHECK, "; ".join(map(describe_strangers, strangers)), STRANGERS_MEND)
    unlisted = [each for each in hinted if each.unlisted_count and each.run_id is None]
    if unlisted:
        yield doubtful(_CHECK, describe_unlisted(unlisted), UNLISTED_MEND)


def _only(held: dict[str, Hint], entity: str) -> list[Hint]:
    return [held[entity]] if entity in held else []


STRANGERS_MEND = (
    "See which: tds findings --kind stranger. Point another organisation's webhooks elsewhere; a full pass that shows"
    " no more of them closes the findings."
)


def describe_rows(each: ForeignRows, mirrored: str | None) -> str:
    """A sentence on live rows of an entity that belong to another organisation."""
    return (
        f"{each.entity}: {each.row_count:,} living {_rows(each.row_count)} of organisation {each.organization_id},"
        f" and {mirrored} is mirrored"
    )


def describe_hold(each: Hint) -> str:
    """A sentence on a held run whose list lacks rows."""
    share = f" of {each.living_count:,} living rows ({each.absent_count / each.living_count:.0%})"
    return (
        f"{each.entity}: run {each.run_id} is held, since {each.absent_count:,}{share if each.living_count else ''} are"
        " in no list of this organisation: they are another's, or were deleted in Zoho, or the list came short"
    )


def describe_strangers(each: Hint) -> str:
    """A sentence on records known from webhooks only."""
    return f"{each.entity}: {each.stranger_count:,} of which only webhooks told, and which Zoho does not have or show"


UNLISTED_MEND = "tds sync all --mode full; where it is held: tds runs show ID, then tds runs approve ID"


def describe_unlisted(hinted: Sequence[Hint]) -> str:
    """A sentence on rows that no full pass has confirmed yet."""
    counts = ", ".join(f"{each.entity} {each.unlisted_count:,}" for each in hinted)
    return f"rows from before this organisation was mirrored, not seen in a full pass that ended since: {counts}"


def next_step(entity: str, held: Hint | None) -> str:
    """The commands that remove rows of another organisation."""
    if held is None:
        return (
            f"tds sync {entity} --mode full; where it is held: tds runs show ID, then tds runs approve ID. Or at once,"
            " without asking Zoho: tds zoho foreign-rows"
        )
    return (
        f"tds runs show {held.run_id}; if they are not this organisation's: tds runs approve {held.run_id} (Zoho is"
        f" asked for each, and what it does not have is deleted here); if they are: tds runs reject {held.run_id}"
    )


def _rows(count: int) -> str:
    return "row says that it is" if count == 1 else "rows say that they are"
