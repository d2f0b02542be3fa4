"""`tds replay`: replays one webhook event, or many by filters after a look at which; shows and cancels batches."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from getpass import getuser
from typing import Annotated, Any

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import cell, entity_named, read_moment, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError
from tds_core.inbox import replay as core
from tds_core.inbox import replay_batches
from tds_core.inbox.replay_batches import EventSelection
from tds_core.observability.logging import configure_logging
from tds_core.sources.zoho.webhooks.parser import parse_again
from tds_models.inbox import Verdict

LOOK_SECONDS = 0.5
_PATH = "/zoho/webhooks/replay"
_PREVIEW_COLUMNS = ("entity", "events", "records", "to read at Zoho", "oldest", "newest")
_BATCH_COLUMNS = ("replay", "by", "begun", "of", "events", "a minute", "state", "outcomes", "left")


def replay(  # noqa: PLR0917 (options, which are given by name)
    event: Annotated[int, typer.Argument(help="The number of one event, as `tds explain` tells it.")] = 0,
    entity: Annotated[str, typer.Option(help="All of this entity.")] = "",
    verdict: Annotated[str, typer.Option(help=f"All with this verdict: {', '.join(Verdict)}.")] = "",
    source_id: Annotated[str, typer.Option("--id", help="All of this record.")] = "",
    since: Annotated[
        str, typer.Option("--from", "--since", metavar="WHEN", help="Received since: a time, 2h, 3d.")
    ] = "",
    until: Annotated[str, typer.Option("--to", "--until", metavar="WHEN", help="Received before then.")] = "",
    per_minute: Annotated[
        int, typer.Option(min=0, max=60_000, help="So many a minute; else TDS_REVIVE_PER_MINUTE.")
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    only_preview: Annotated[bool, typer.Option("--preview", help="Only look at which they are.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Watch until the last was replayed.")] = False,
    with_batches: Annotated[bool, typer.Option("--list", help="Show replays of many, the newest first.")] = False,
    cancel: Annotated[int, typer.Option(min=0, metavar="REPLAY", help="Replay no more events of this one.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; needs --yes to begin with many.")] = False,
) -> None:
    """Take an event in again, as if its webhook had just come; one that was not understood is read anew.

    An old body never replaces newer content: what becomes of it is the new event's verdict. Many are shown first.
    """
    criteria = _criteria(entity=entity, verdict=verdict, source_id=source_id, since=since, until=until)
    settings = load_settings()
    configure_logging(settings.replace("command line", log_level="ERROR"), process="cli")
    if sum(map(bool, (event, criteria, with_batches, cancel))) != 1:
        raise ConfigError(
            "Name one event, or say which: --entity, --verdict, --id, --from, --to. Or give --list, or --cancel REPLAY."
        )
    if event:
        _replay_one(event, as_json)
    elif with_batches:
        _show(_batches(), as_json)
    elif cancel:
        _cancel(cancel, as_json)
    else:
        rate = per_minute or settings.revive_per_minute
        _replay_many(criteria, rate, only_preview=only_preview, yes=yes, wait=wait, as_json=as_json)


def _criteria(**given: str) -> dict[str, Any]:
    """The criteria that were given, times as moments. Raises ConfigError and NoSuchEntityError."""
    if given["entity"]:
        entity_named(given["entity"])
    if given["verdict"] and given["verdict"] not in list(Verdict):
        raise ConfigError(f"No verdict is called {given['verdict'][:40]!r}. Verdicts: {', '.join(Verdict)}.")
    criteria: dict[str, Any] = {name: value for name, value in given.items() if value}
    return criteria | {name: read_moment(criteria[name]) for name in ("since", "until") if name in criteria}


def _replay_one(event: int, as_json: bool) -> None:
    if api := remote():
        replayed = api.post(f"/zoho/webhooks/{event}/replay")
    else:
        with acting("webhooks.replay", event) as session:
            new_id, entity = core.replay(session, event, parse=parse_again)
        replayed = {"event_id": str(new_id), "replay_of": str(event), "entity": entity}
    if as_json:
        say_json(replayed)
        return
    say(f"Event {event} came again as event {replayed['event_id']}; workers take it within a second.")


def _replay_many(
    criteria: Mapping[str, Any], rate: int, *, only_preview: bool, yes: bool, wait: bool, as_json: bool
) -> None:
    shown = _preview(criteria, rate)
    if as_json and (only_preview or not yes):
        say_json(shown)
        return
    if not as_json:
        rows = [tuple(each.values()) for each in shown["by_entity"]]
        say_table("Events to be received again", _PREVIEW_COLUMNS, rows, console=terminal())
        say(f"{shown['event_count']:,} events, {rate:,} a minute: about {cell(shown['seconds'])} s.")
    if only_preview or not shown["event_count"]:
        return
    if not yes:
        typer.confirm(f"Replay {shown['event_count']:,} events?", abort=True)
    batch = _begin(criteria, rate, shown)
    while wait and batch["ended_at"] is None:
        time.sleep(LOOK_SECONDS)
        batch = _batch(int(batch["id"]))
    _show(batch, as_json)
    if not as_json and not wait:
        say(f"Watch it: tds replay --list    Stop it: tds replay --cancel {batch['id']}")


def _preview(criteria: Mapping[str, Any], rate: int) -> Any:
    if api := remote():
        return api.post(f"{_PATH}/preview", {**criteria, "per_minute": rate})
    with transaction() as session:
        return replay_batches.preview(session, EventSelection(**criteria), per_minute=rate)


def _begin(criteria: Mapping[str, Any], rate: int, shown: Mapping[str, Any]) -> Any:
    frozen: dict[str, Any] = {"event_count": shown["event_count"], "taken_at": shown["taken_at"]}
    if api := remote():
        return api.post(_PATH, {**criteria, "per_minute": rate, **frozen})
    detail = {**_spelled(criteria), "event_count": shown["event_count"], "per_minute": rate}
    with acting("webhooks.replay_many", detail=detail) as session:
        batch_id = replay_batches.request_batch(
            session, EventSelection(**criteria), by=getuser(), per_minute=rate, **frozen
        )
        return replay_batches.batch(session, batch_id)


def _batch(batch_id: int) -> Any:
    if api := remote():
        return api.get(f"{_PATH}/{batch_id}")
    with transaction() as session:
        return replay_batches.batch(session, batch_id)


def _batches() -> Sequence[Any]:
    if api := remote():
        return api.page(_PATH, limit=20)
    with transaction() as session:
        return replay_batches.batches(session, limit=20).items


def _cancel(batch_id: int, as_json: bool) -> None:
    if api := remote():
        batch = api.post(f"{_PATH}/{batch_id}/cancel")
    else:
        with acting("webhooks.cancel_replay", batch_id) as session:
            replay_batches.cancel_batch(session, batch_id, by=getuser())
            batch = replay_batches.batch(session, batch_id)
    _show(batch, as_json)


def _show(shown: Any, as_json: bool) -> None:
    """Print one batch or several."""
    if as_json:
        say_json(shown)
        return
    rows = [_row(batch) for batch in ([shown] if isinstance(shown, Mapping) else shown)]
    say_table("Replays", _BATCH_COLUMNS, rows, console=terminal())


def _row(batch: Mapping[str, Any]) -> tuple[Any, ...]:
    asked = ", ".join(f"{name} {value}" for name, value in batch["asked"].items())
    outcomes = ", ".join(f"{name} {count:,}" for name, count in batch["outcomes"].items())
    left = f"{cell(batch['seconds_left'])} s" if batch["state"] == "running" else None
    return (
        str(batch["id"]), batch["requested_by"], batch["requested_at"], asked, batch["event_count"],
        batch["per_minute"], batch["state"], outcomes, left,
    )  # fmt: skip


def _spelled(criteria: Mapping[str, Any]) -> dict[str, str]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in criteria.items()}
