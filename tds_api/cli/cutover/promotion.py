"""`tds migrate-from promote` and `fallback`: the mirror under the old names, and back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from getpass import getuser
from typing import Annotated

import typer
from sqlalchemy import Connection, Engine

from tds_api.cli.common.database import database
from tds_api.cli.common.logged_transactions import acting_on
from tds_api.cli.common.output import say, say_json
from tds_api.cli.cutover.options import DaysOption, JsonOption, MappingOption, today
from tds_core.config.settings import load_settings
from tds_core.cutover import promotion as core
from tds_core.cutover.days import DAYS_BEFORE_PROMOTION
from tds_core.cutover.mapping import CutoverMapping, load_mapping
from tds_core.cutover.promotion import PromotionOrder
from tds_core.cutover.promotion_plan import PromotionStep, plan_promotion
from tds_core.errors import ConfigError
from tds_models.db import Timeouts, make_engine, session_scope
from tds_tasks.old_database import old_engine

#: No program of the ERP waits longer for a table whose lock the promotion waits for.
_LOCK_SECONDS = 5


def promote(  # noqa: PLR0917 (options, which are given by name)
    mapping: MappingOption,
    days: DaysOption = DAYS_BEFORE_PROMOTION,
    force: Annotated[bool, typer.Option("--force", help="Although the days do not allow it; needs --reason.")] = False,
    reason: Annotated[str, typer.Option(help="Why it is forced, for the record of actions.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the statements.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put views over the mirror in the old tables' place; the old tables are renamed, and lose nothing.

    Refused until every entity had its clean days. All of it is one transaction; `tds migrate-from fallback` undoes it.
    """
    if force != bool(reason.strip()):
        raise ConfigError('--force and --reason belong together: --force --reason "the old server is switched off"')
    parsed = load_mapping(mapping)
    with _owner_engine() as engine, _elsewhere(parsed, engine) as elsewhere:
        if dry_run:
            with session_scope(engine) as session:
                steps: Sequence[PromotionStep] = plan_promotion(session, parsed, elsewhere=elsewhere)
        else:
            order = PromotionOrder(today=today(), days=days, by=getuser(), force_reason=reason.strip())
            detail = {"mapping": str(mapping), "forced": force, "reason": reason}
            with acting_on(engine, "migrate_from.promote", parsed.schema, detail=detail) as session:
                steps = core.promote(session, parsed, order, elsewhere=elsewhere)
    if as_json:
        say_json({"promoted": not dry_run, "steps": steps})
        return
    for each in steps:
        say(f"{each.do};")
    if dry_run:
        say("Nothing was changed.", err=True)
    else:
        say("The mirror stands under the old names. Stop the old job, and keep it: back again with tds migrate-from"
            " fallback --reason ...", err=True)  # fmt: skip


def fallback(
    reason: Annotated[str, typer.Option(help="Why, for the record of actions.")], as_json: JsonOption = False
) -> None:
    """Undo the promotion exactly: the views go, and the old tables have their names again."""
    if len(reason.strip()) < 3:
        raise ConfigError('Say why, for example: --reason "the price list of the shop is empty".')
    with _owner_engine() as engine, acting_on(engine, "migrate_from.fallback", detail={"reason": reason}) as session:
        undone = core.fall_back(session, by=getuser(), reason=reason.strip())
    if as_json:
        say_json({"undone": undone})
        return
    for each in undone:
        say(f"{each.undo};")
    say("The old tables are in their place, as they were left. Start the old job again: it reads what it missed.",
        err=True)  # fmt: skip


@contextmanager
def _elsewhere(mapping: CutoverMapping, engine: Engine) -> Iterator[Connection | None]:
    """A connection to the old tables' database; None where that is TDS's own."""
    if not mapping.database_url_from:
        yield None
        return
    with old_engine(mapping, engine) as old, old.connect() as connection:
        yield connection


@contextmanager
def _owner_engine() -> Iterator[Engine]:
    """The database as the role that migrates it, which may change what others own."""
    settings = load_settings()
    with database(settings) as engine:
        if not settings.migration_database_url:
            yield engine
            return
        timeouts = Timeouts(statement=0, lock=_LOCK_SECONDS, idle=0)
        owner = make_engine(settings.migration_database_url, pool_size=2, application="tds-cli", timeouts=timeouts)
        try:
            yield owner
        finally:
            owner.dispose()
