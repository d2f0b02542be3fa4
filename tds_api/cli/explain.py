"""`tds explain`: the timeline of one record, from webhook to row, and with --live its comparison with Zoho."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from tds_api.cli.breakers import quiet_breakers
from tds_api.cli.common.database import database, transaction
from tds_api.cli.common.output import cell, entity_named, read_moment, say_json, say_table, table_of, terminal
from tds_api.cli.common.remote_api import Remote, remote
from tds_core.config.settings import load_settings
from tds_core.errors import NotFoundError
from tds_core.explain.diagnosis import with_live_comparison
from tds_core.explain.timeline import Explanation, StepFilter, TimelineStep
from tds_core.explain.timeline import explain as explanation_of
from tds_core.mirror import as_of as mirror_as_of
from tds_core.mirror.live_comparison import LiveComparison, compare_live
from tds_core.pagination import Row
from tds_core.sources import registry
from tds_core.sources.response_cache import open_cache
from tds_models.db import session_scope
from tds_models.entities.declaration import Entity

_VERDICTS = {
    "equal": "[green]Zoho says the same[/]",
    "different": "[red]Zoho says otherwise[/]",
    "only_there": "[red]Zoho has it, the mirror does not[/]",
    "only_here": "[red]the mirror has it, Zoho does not[/]",
    "nowhere": "neither Zoho nor the mirror has it",
    "unreadable": "[red]what Zoho says breaks the rules[/]",
}
_LONGEST_VALUE = 60


def compare_with_source(entity: Entity, source_id: str) -> LiveComparison:
    """Compare a record with the source, read now. Raises SourceError."""
    settings = load_settings()
    breakers = quiet_breakers(settings)
    with database(settings) as engine:
        client = registry.open_source(entity.stream.source, settings, lambda: session_scope(engine), breakers)
        return compare_live(lambda: session_scope(engine), client, open_cache(settings), entity, source_id)


def show_live(comparison: LiveComparison, console: Console) -> None:
    """Print the verdict of a comparison, and the fields that differ."""
    origin = "from the cache, asked" if comparison["is_cached"] else "asked"
    problem = f": {escape(comparison['problem'])}" if comparison["problem"] else ""
    console.print(
        f"[bold]Now[/]: {_VERDICTS[comparison['verdict']]}{problem} ({origin} {cell(comparison['asked_at'])})"
    )
    if comparison["differences"]:
        rows = [(each["field"], _short(each["here"]), _short(each["there"])) for each in comparison["differences"]]
        say_table("Differences", ("field", "mirror", "Zoho"), rows, console=console)
    if comparison.get("not_shown"):
        console.print(f"Zoho does not show {', '.join(comparison['not_shown'])} where it shows one record alone.")


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


_LONGEST_STORY_VALUE = 60
Detail = Mapping[str, Any]


def story_lines(step: TimelineStep) -> str:
    """A step of the timeline in one line, and one more for each of its details."""
    return _LINES_OF_KIND[step["kind"]](step["detail"], step["at"])


def short(value: Any) -> str:
    """A value on one line, cut where it is long."""
    if isinstance(value, datetime | Decimal | str):
        text = str(value)
    else:
        text = "nothing" if value is None else msgspec.json.encode(value, enc_hook=str).decode()
    return text if len(text) <= _LONGEST_STORY_VALUE else f"{text[:_LONGEST_STORY_VALUE]}…"


def _event(detail: Detail, at: datetime) -> str:
    taken = f" after {_milliseconds((detail['verdict_at'] - at).total_seconds())}" if detail["verdict_at"] else ""
    body = "complete body" if detail["complete"] else "partial body"
    reason = f" ({detail['verdict_reason']})" if detail["verdict_reason"] else ""
    again = (
        f"; came {detail['duplicate_count']} times more, which counted as this one" if detail["duplicate_count"] else ""
    )
    verdict = detail["verdict"].replace("_", "-") if detail["verdict"] else "in flight"
    return f"webhook {detail['id']}: {detail['event']}, {body}: {verdict}{taken}{reason}{again}"


def _refused(detail: Detail, _: datetime) -> str:
    origin = f" from {detail['remote_address']}" if detail["remote_address"] else ""
    return f"webhook refused with {detail['status']}: {detail['reason']}{origin}; it named this record, unproven"


def _attempt(detail: Detail, _: datetime) -> str:
    error = f": {detail['error_class']}, {detail['error']}" if detail["error_class"] else ""
    return (
        f"attempt {detail['attempt']} {detail['outcome']}{error} on {detail['worker'] or 'nobody'}{_exchange(detail)}"
    )


def _exchange(detail: Detail) -> str:
    exchange = detail["exchange"]
    if not exchange:
        return ""
    answer = "no answer" if exchange["status"] is None else f"{exchange['status']}"
    code = f", code {exchange['code']}" if exchange["code"] else ""
    return f"\n  GET {exchange['path']}: {answer}{code} in {_milliseconds(exchange['seconds'])}"


def _change(detail: Detail, _: datetime) -> str:
    by = f"{detail['origin']} {detail['origin_id'] or ''}".strip()
    if detail["run_mode"]:
        by += f" ({detail['run_mode']}, asked by {detail['run_requested_by']})"
    after = detail["after_seconds"]
    came = f", {_milliseconds(after)} after it came" if after is not None and detail["origin"] == "webhook" else ""
    changes = msgspec.json.decode(detail["changes"], type=dict[str, tuple[Any, Any]])
    lines = [f"  {name}: {_pair(*pair)}" for name, pair in changes.items()]
    return "\n".join([f"version {detail['version']} {detail['operation']} by {by}{came}", *lines])


def _pair(before: Any, after: Any) -> str:
    return _value(after) if before is None else f"{_value(before)} → {_value(after)}"


def _value(value: Any) -> str:
    return short("nothing" if value is None else msgspec.json.encode(value).decode())


def _dead_letter(detail: Detail, _: datetime) -> str:
    lines = [f"dead letter {detail['id']}, given up after {detail['attempts']} attempts: "
             f"{detail['error_class']}, {detail['error']}"]  # fmt: skip
    lines += [f"  {each['action']} by {each['operator']} {_at(each['acted_at'])}" for each in detail["actions"]]
    lines += [
        f"  retried by {each['requested_by']} {_at(each['requested_at'])}: {each['outcome'] or 'under way'}"
        for each in detail["revivals"]
    ]
    closed = f"  {detail['resolution']} {_at(detail['resolved_at'])}" if detail["resolved_at"] else "  still open"
    return "\n".join([*lines, closed])


def _run(detail: Detail, _: datetime) -> str:
    reason = f" ({detail['end_reason']})" if detail["end_reason"] else ""
    return f"run {detail['id']}, {detail['mode']}, asked by {detail['requested_by']}: {detail['state']}{reason}"


def _action(detail: Detail, _: datetime) -> str:
    status = f" {detail['status']}" if detail["status"] else ""
    error = f" ({detail['error']})" if detail["error"] else ""
    return f"{detail['caller']}: {detail['operation']} {detail['subject']}: {detail['outcome']}{status}{error}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


def _at(moment: datetime | str) -> str:
    """A moment to the second; inside JSON it is text."""
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"at {at:%Y-%m-%d %H:%M:%S}"


_LINES_OF_KIND: Mapping[str, Callable[[Detail, datetime], str]] = {
    "event": _event,
    "refused": _refused,
    "attempt": _attempt,
    "change": _change,
    "dead_letter": _dead_letter,
    "run": _run,
    "action": _action,
}


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
    declared, as_of_moment = entity_named(entity), read_moment(as_of)
    step_filter = StepFilter(field=field or None, since=read_moment(since), until=as_of_moment or read_moment(until),
                  limit=limit, cursor=cursor or None)  # fmt: skip
    api = remote()
    story = (
        _remote_story(api, declared, source_id, step_filter, as_of_moment)
        if api
        else _story(declared, source_id, step_filter, as_of_moment)
    )
    if live:
        comparison = api.get(f"/live/{declared.name}/{quote(source_id, safe='')}") if api else None
        story["live"] = comparison = comparison or compare_with_source(declared, source_id)
        story["verdict"] = with_live_comparison(
            story["verdict"],
            live_verdict=comparison["verdict"],
            difference_count=len(comparison["differences"]),
        )
    elif story["verdict"]["state"] == "unknown" and not story["steps"]:
        raise NotFoundError(
            f"TDS has never heard of {entity} {source_id[:80]}. Ask Zoho for it: {story['verdict']['next'][:200]}"
        )
    if as_json:
        say_json(story)
    else:
        _show(story, terminal())


class Story(Explanation, total=False):
    """An explanation as it is shown. `row`: the mirror's row at the time asked for; `live`: present with --live."""

    row: Row
    live: LiveComparison


def _story(entity: Entity, source_id: str, step_filter: StepFilter, then: datetime | None) -> Story:
    with transaction() as session:
        story: Story = {**explanation_of(session, entity, source_id, step_filter)}
        if then:
            story["row"] = mirror_as_of.row_at(session, entity, source_id, then)
    return story


def _remote_story(api: Remote, entity: Entity, source_id: str, step_filter: StepFilter, then: datetime | None) -> Story:
    name = f"{entity.name}/{quote(source_id, safe='')}"
    query = {key: each.isoformat() if isinstance(each, datetime) else each for key, each in asdict(step_filter).items()}
    story: Story = api.get(f"/explain/{name}", **query)
    for step in story["steps"]:
        if "changes" in step["detail"]:
            step["detail"]["changes"] = msgspec.Raw(msgspec.json.encode(step["detail"]["changes"]))
    if then:
        story["row"] = api.get(f"/entities/{name}", as_of=then.isoformat())
    return story


def _show(story: Story, console: Console) -> None:
    _show_verdict(story, console)
    console.print()
    table = table_of("when (UTC)", "what", "told")
    for step in story["steps"]:
        colour = _COLOURS.get(step["kind"], "default")
        table.add_row(_moment(step["at"]), f"[{colour}]{step['kind'].replace('_', ' ')}[/]", escape(story_lines(step)))
    console.print(table)
    if story["next_cursor"]:
        console.print(f"Older steps: --cursor {story['next_cursor']}", soft_wrap=True, markup=False)
    if "live" in story:
        show_live(story["live"], console)
    if step := _next(story):
        console.print(f"Go on with: [bold]{escape(step)}[/]", soft_wrap=True)


def _next(story: Story) -> str | None:
    """The next command: after a live comparison that differs, the sync of this record."""
    step: str | None = story["verdict"]["next"]
    if "live" not in story or (step is not None and not step.endswith("--live")):
        return step
    differs = story["live"]["verdict"] in ("different", "only_there", "only_here")
    return f"tds sync {story['entity']} --mode targeted --id {story['source_id']} --wait" if differs else None


def _show_verdict(story: Story, console: Console) -> None:
    """Print the verdict, or the row as of a moment."""
    verdict, work_item = story["verdict"], story["owed"]
    if "row" in story:
        _show_row(story["row"], console)
        return
    console.print(f"[bold {_STATES.get(verdict['state'], 'red')}]{escape(verdict['says'])}[/]", soft_wrap=True)
    for line in filter(None, (verdict["field"], verdict["last_change"])):
        console.print(escape(line[:1].upper() + line[1:]), soft_wrap=True)
    if work_item:
        attempt = f"attempt {work_item['attempts'] + 1} {cell(work_item['next_attempt_at'])}"
        says = f"{attempt}, last error: {cell(work_item['last_error'])}"
        console.print(f"[bold]Owed a sync[/]: {escape(says)}")


def _show_row(row: Row, console: Console) -> None:
    shown = [(name, short(value)) for name, value in row.items() if value is not None and name != "source"]
    say_table("As it stood then", ("field", "value"), shown, console=console)


def _moment(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"
