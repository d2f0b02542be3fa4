"""`tds zoho quota`: shows used and remaining calls to Zoho as bars, and when they run out."""

from datetime import UTC, datetime

import typer
from rich.console import Console

from tds_api.cli.common.database import transaction
from tds_api.cli.common.output import distance, moment, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.config.settings import load_settings
from tds_core.mirror.status import detail_calls
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.forecast import (
    BacklogDocument,
    DayDocument,
    LevelDocument,
    QuotaDocument,
    quota_document,
)
from tds_core.sources.zoho.quota.governor import open_governor

BAR = 40
_FULL, _NEARLY = 1.0, 0.8


def quota(as_json: bool = typer.Option(False, "--json", help="For programs.")) -> None:
    """Show what is used and left of the calls Zoho allows, when the day's run out, and when a backlog ends."""
    if api := remote():
        usage = api.get("/zoho/quota")
    else:
        governor = open_governor(load_settings())
        with transaction() as session:
            backlog = detail_calls(session)
        usage = quota_document(governor.forecast(backlog))
    if as_json:
        say_json(usage)
        return
    console = terminal()
    _levels(console, usage)
    for day in usage["days"]:
        console.print(_ahead(day), soft_wrap=True)
    for each in usage["backlogs"]:
        if each["call_count"]:
            console.print(_end(each), soft_wrap=True)
    if usage["blocked_until"]:
        console.print(f"[red]Zoho has blocked the organisation: asked again {_when(usage['blocked_until'])}[/]")


def _levels(console: Console, usage: QuotaDocument) -> None:
    rows = [("this minute", usage["minute"]), ("at once", usage["concurrent"])]
    rows += [(f"{day['api']}, today", day) for day in usage["days"]]
    for name, level in rows:
        amount = f"{level['used']:,} of {level['limit']:,}" if level["limit"] else f"{level['used']:,}, no limit"
        console.print(f"{name:<18} {_bar(level)} {amount}", soft_wrap=True)
    classes = [(each, *(day["by_class"][each] for day in usage["days"])) for each in (*Traffic, "others")]
    console.print()
    say_table("Calls today", ("for", *(day["api"] for day in usage["days"])), classes, console=console)
    console.print()


def _bar(level: LevelDocument) -> str:
    share = level["used"] / level["limit"] if level["limit"] else 0.0
    color = "red" if share >= _FULL else "yellow" if share >= _NEARLY else "green"
    filled = min(BAR, round(share * BAR))
    return f"[{color}]{'█' * filled}[/][dim]{'░' * (BAR - filled)}[/]"


def _ahead(day: DayDocument) -> str:
    """How a product's day goes on, in a sentence."""
    name, resets = day["api"], f"begins anew {_when(day['resets_at'])}"
    if day["spent_until"]:
        return f"[red]{name}: Zoho says the day is spent;[/] asked again {_when(day['spent_until'])}"
    ends = [f"{each} {_when(end)}" for each, end in day["runs_out_at"].items()]
    if ends:
        return f"[yellow]{name}: at this rhythm runs out for {', '.join(ends)};[/] {resets}"
    return f"{name}: lasts ({day['used_at_reset']:,} calls by then); {resets}"


def _end(backlog: BacklogDocument) -> str:
    calls = f"{backlog['api']}: {backlog['call_count']:,} calls of back-fill to make"
    if backlog["ends_at"] is None:
        return f"[red]{calls}; other calls leave nothing for them[/]"
    pace = f", at most {backlog['calls_per_day']:,} a day" if backlog["calls_per_day"] else ""
    return f"{calls}{pace}; done {_when(backlog['ends_at'])}"


def _when(at: datetime) -> str:
    return f"{distance((datetime.now(UTC) - at).total_seconds())} ({moment(at)})"
