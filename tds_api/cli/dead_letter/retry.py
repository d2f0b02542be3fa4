"""`tds dead-letter retry`: retries one dead letter at once, or many after a preview; shows and cancels batches."""

import time
from collections.abc import Sequence
from getpass import getuser
from typing import Annotated

import typer
from sqlalchemy import Engine

from tds_api.cli.breakers import quiet_breakers
from tds_api.cli.common.database import database, transaction
from tds_api.cli.common.logged_transactions import acting, acting_on
from tds_api.cli.common.output import say, say_json, terminal
from tds_api.cli.common.remote_api import remote
from tds_api.cli.dead_letter.views import show_batches, show_preview
from tds_api.resources.dead_letters import preview_retry
from tds_core.config.settings import load_settings
from tds_core.dead_letters import queries
from tds_core.dead_letters import retry as dead_letters_retry
from tds_core.dead_letters import retry_batches as core
from tds_core.dead_letters.preview import Selection
from tds_models.db import session_scope

LOOK_SECONDS = 0.5
HOUR_SECONDS = 3600.0


def retry(  # noqa: PLR0917 (options, which are given by name)
    ids: Annotated[list[int] | None, typer.Argument(help="Letters; a single one is retried at once.", min=1)] = None,
    like: int = typer.Option(0, min=0, help="All with the problem of this letter."),
    fingerprint: str = typer.Option("", help="All with this fingerprint."),
    entity: str = typer.Option("", help="All of this entity."),
    error_class: str = typer.Option("", "--class", help="All of this error class."),
    older_than: float = typer.Option(0, min=0, help="All that died so many hours ago."),
    everything: bool = typer.Option(False, "--all", help="All that are open."),
    per_minute: int = typer.Option(0, min=0, max=60_000, help="So many a minute; without it TDS_REVIVE_PER_MINUTE."),
    only_preview: bool = typer.Option(False, "--preview", help="Only look at what it costs and changes."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    wait: bool = typer.Option(False, "--wait", help="Watch until all have ended; 1 means that some died again."),
    as_json: bool = typer.Option(False, "--json", help="For programs; needs --yes to begin."),
) -> None:
    """Retry letters. What it costs, takes and changes is shown first, and asked about."""
    settings = load_settings()
    if ids and len(ids) == 1 and (api := remote()):
        _say_retried(api.post(f"/dead-letter/{ids[0]}/retry"), as_json)
        return
    with database(settings) as engine:
        if like:
            with session_scope(engine) as session:
                fingerprint = queries.dead_letter(session, like)["fingerprint"]
        selection = Selection(
            ids=ids or (),
            entity=entity or None,
            error_class=error_class or None,
            fingerprint=fingerprint or None,
            older_than_seconds=older_than * HOUR_SECONDS or None,
            everything=everything,
        )
        if selection == Selection(ids=ids or ()) and len(selection.ids) == 1 and not only_preview:
            _retry_one(engine, selection.ids[0], as_json)
            return
        rate = per_minute or settings.revive_per_minute
        preview = preview_retry(settings, engine, quiet_breakers(settings), selection, per_minute=rate)
        if as_json and (only_preview or not yes):
            say_json(preview)
            return
        if not as_json:
            show_preview(preview, terminal())
        if only_preview or not preview["letter_count"]:
            return
        if not yes:
            typer.confirm(f"Retry {preview['letter_count']:,} letters?", abort=True)
        _begin(engine, selection, rate, preview["letter_count"], wait=wait, as_json=as_json)


def _retry_one(engine: Engine, letter_id: int, as_json: bool) -> None:
    with acting_on(engine, "letters.retry", letter_id) as session:
        dead_letters_retry.retry(session, letter_id, by=getuser())
        dead_letter = queries.dead_letter(session, letter_id)
    _say_retried(dead_letter, as_json)


def _say_retried(dead_letter: queries.DeadLetterDetails, as_json: bool) -> None:
    if as_json:
        say_json(dead_letter)
    else:
        letter_id = dead_letter["id"]
        say(f"Dead letter {letter_id} is being retried. See how it ends: tds dead-letter show {letter_id}")


def _begin(engine: Engine, selection: Selection, rate: int, count: int, *, wait: bool, as_json: bool) -> None:
    with acting_on(engine, "letters.retry_many", detail={"letter_count": count, "per_minute": rate}) as session:
        batch = core.request_batch(session, selection, by=getuser(), per_minute=rate, expected_count=count)
        row = queries.batch(session, batch.id)
    while wait and row["ended_at"] is None:
        time.sleep(LOOK_SECONDS)
        with session_scope(engine) as session:
            row = queries.batch(session, batch.id)
    if as_json:
        say_json(row)
    else:
        show_batches([row], terminal())
        if not wait:
            say(f"Watch it: tds dead-letter batches    Stop it: tds dead-letter cancel {batch.id}")
    if wait and "dead" in row["outcomes"]:
        raise typer.Exit(1)


def batches(
    limit: int = typer.Option(20, min=1, max=500, help="So many."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Show batches of retries, the newest first, and what their letters came to."""
    with transaction() as session:
        rows = queries.batches(session, limit=limit).items
    _say(rows, as_json)


def cancel(
    batch_id: int = typer.Argument(help="A batch, see: tds dead-letter batches", metavar="BATCH", min=1),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Retry no more letters of a batch; those that are work already go on."""
    with acting("letters.cancel", batch_id) as session:
        count = core.cancel_batch(session, batch_id, by=getuser())
        batch = queries.batch(session, batch_id)
    if as_json:
        say_json(batch)
    else:
        say(f"Batch {batch_id}: {count:,} letters are left as they were.")


def _say(rows: Sequence[dict[str, object]], as_json: bool) -> None:
    if as_json:
        say_json(rows)
    else:
        show_batches(rows, terminal())
