"""`tds explain`: the story of one record, from webhook to row."""

from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from tds_api.cli.database import transaction
from tds_api.cli.live import asked_live, show_live
from tds_api.cli.moments import read_moment
from tds_api.cli.output import cell, entity_named, say_json, say_table, table_of, terminal
from tds_api.cli.remote import Remote, remote
from tds_api.cli.telling import short, told
from tds_core.reading import past
from tds_core.reading.errors import NotFoundError
from tds_core.reading.story.steps import Asked
from tds_core.reading.story.story import explain as story_of
from tds_core.reading.story.verdict import beside
from tds_models.entity import Entity

_COLOURS = {"event": "cyan", "attempt": "dim", "change": "green", "dead_letter": "red", "refused": "red"}
_STATES = {"equal": "green", "unconfirmed": "yellow", "listed": "yellow", "owed": "yellow", "deleted": "dim"}


def explain(  # noqa: PLR0917 (options, which are given by name)
    entity: str = typer.Argument(help="For example product."),
    source_id: str = typer.Argument(metavar="ID", help="Zoho's id of the record."),
    field: str = typer.Option("", help="Why this field is as it is: what set it, what could have and did not."),
    live: bool = typer.Option(False, "--live", help="Ask Zoho for it as well, and compare."),
    as_of: str = typer.Option("", metavar="WHEN", help="The row as it stood then, and its story until then."),
    since: str = typer.Option("", metavar="WHEN", help="Only steps since: a date, a time, or 15min, 2h, 3d ago."),
    until: str = typer.Option("", metavar="WHEN", help="Only steps before."),
    limit: int = typer.Option(200, min=1, max=500, help="So many steps at most, the newest."),
    cursor: str = typer.Option("", help="Go on to the steps before; a story that has more says with which."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Show how a record stands and why, in one line of time: webhooks, refused ones too, attempts with their calls to
    Zoho, changes with before and after, runs, dead letters, what operators did. The newest step comes last.
    """
    chosen, then = entity_named(entity), read_moment(as_of)
    asked = Asked(field=field or None, since=read_moment(since), until=then or read_moment(until),
                  limit=limit, cursor=cursor or None)  # fmt: skip
    there = remote()
    story = _story_there(there, chosen, source_id, asked, then) if there else _story(chosen, source_id, asked, then)
    if live:
        found = there.get(f"/live/{chosen.name}/{quote(source_id, safe='')}") if there else None
        story["live"] = found or asked_live(chosen, source_id)
        story["verdict"] = beside(story["verdict"], story["live"])
    elif story["verdict"]["state"] == "unknown" and not story["steps"]:
        raise NotFoundError(
            f"TDS has never heard of {entity} {source_id[:80]}. Ask Zoho for it: {story['verdict']['next'][:200]}"
        )
    if as_json:
        say_json(story)
    else:
        _show(story, terminal())


def _story(entity: Entity, source_id: str, asked: Asked, then: datetime | None) -> dict[str, Any]:
    with transaction() as session:
        story = story_of(session, entity, source_id, asked)
        if then:
            story["row"] = past.row_at(session, entity, source_id, then)
    return story


def _story_there(there: Remote, entity: Entity, source_id: str, asked: Asked, then: datetime | None) -> dict[str, Any]:
    name = f"{entity.name}/{quote(source_id, safe='')}"
    wanted = {key: each.isoformat() if isinstance(each, datetime) else each for key, each in asdict(asked).items()}
    story: dict[str, Any] = there.get(f"/explain/{name}", **wanted)
    for step in story["steps"]:
        if "changes" in step["detail"]:
            step["detail"]["changes"] = msgspec.Raw(msgspec.json.encode(step["detail"]["changes"]))
    if then:
        story["row"] = there.get(f"/entities/{name}", as_of=then.isoformat())
    return story


def _show(story: dict[str, Any], console: Console) -> None:
    _show_standing(story, console)
    console.print()
    table = table_of("when (UTC)", "what", "told")
    for step in story["steps"]:
        colour = _COLOURS.get(step["kind"], "default")
        table.add_row(_moment(step["at"]), f"[{colour}]{step['kind'].replace('_', ' ')}[/]", escape(told(step)))
    console.print(table)
    if story["next_cursor"]:
        console.print(f"Older steps: --cursor {story['next_cursor']}", soft_wrap=True, markup=False)
    if "live" in story:
        show_live(story["live"], console)
    if step := _next(story):
        console.print(f"Go on with: [bold]{escape(step)}[/]", soft_wrap=True)


def _next(story: dict[str, Any]) -> str | None:
    """The command that leads on: with Zoho's own word at hand, the one that brings it over."""
    step: str | None = story["verdict"]["next"]
    if "live" not in story or (step is not None and not step.endswith("--live")):
        return step
    differs = story["live"]["verdict"] in ("different", "only_there", "only_here")
    return f"tds sync {story['entity']} --mode targeted --id {story['source_id']} --wait" if differs else None


def _show_standing(story: dict[str, Any], console: Console) -> None:
    """What it all comes to, before the steps."""
    verdict, owed = story["verdict"], story["owed"]
    if "row" in story:
        _show_row(story["row"], console)
        return
    console.print(f"[bold {_STATES.get(verdict['state'], 'red')}]{escape(verdict['says'])}[/]", soft_wrap=True)
    for line in filter(None, (verdict["field"], verdict["last_change"])):
        console.print(escape(line[:1].upper() + line[1:]), soft_wrap=True)
    if owed:
        says = f"attempt {owed['attempts'] + 1} {cell(owed['next_attempt_at'])}, last error: {cell(owed['last_error'])}"
        console.print(f"[bold]Owed a sync[/]: {escape(says)}")


def _show_row(row: dict[str, Any], console: Console) -> None:
    shown = [(name, short(value)) for name, value in row.items() if value is not None and name != "source"]
    say_table("As it stood then", ("field", "value"), shown, console=console)


def _moment(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"
