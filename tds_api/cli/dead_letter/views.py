"""Printed views of dead letters: groups with their diagnosis, lists, one in full, previews and batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape

from tds_api.cli.common.output import cell, say_table
from tds_core.dead_letters.preview import RetryPreview
from tds_core.dead_letters.queries import (
    DeadLetterDetails,
    DeadLetterGroup,
    DeadLetterRow,
    DiagnosisFields,
    RetryBatchRow,
)


def show_groups(groups: Sequence[DeadLetterGroup], console: Console) -> None:
    """Print the problems, the most frequent first, each with its meaning and the next step."""
    if not groups:
        console.print("[green]No dead letters.[/]")
    for group in groups:
        entities = ", ".join(group["entities"])
        console.print(f"[bold]{group['letter_count']:,} {escape(entities)}[/]  {escape(group['fingerprint'])}",
                      soft_wrap=True)  # fmt: skip
        seen = f"first {cell(group['first_seen_at'])}, last {cell(group['last_seen_at'])}"
        console.print(f"  [dim]{seen}; {group['being_retried_count']:,} being retried[/]", soft_wrap=True)
        _meaning(group["diagnosis"], console)
    if groups:
        console.print("\nLook first: tds dead-letter retry --preview --like ID    See them: tds dead-letter list",
                      soft_wrap=True)  # fmt: skip


def show_dead_letters(dead_letters: Sequence[DeadLetterRow], console: Console) -> None:
    """Print dead letters as a table."""
    columns = ("id", "entity", "record", "state", "class", "error", "last died", "retried", "assigned to")
    rows = [
        (
            str(each["id"]), each["entity"], each["source_id"], each["state"], each["error_class"],
            each["error"][:60], each["last_dead_at"], each["revived_count"], each["assigned_to"],
        )
        for each in dead_letters
    ]  # fmt: skip
    say_table("Dead letters", columns, rows, console=console)


def show_dead_letter(dead_letter: DeadLetterDetails, console: Console) -> None:
    """Print one dead letter with its retries, actions and record."""
    show_dead_letters([dead_letter], console)
    console.print(f"\n{escape(dead_letter['error'])}", soft_wrap=True)
    _meaning(dead_letter["diagnosis"], console)
    if dead_letter["revivals"]:
        rows = [(each["requested_by"], each["requested_at"], each["outcome"] or "at work", each["error"])
                for each in dead_letter["revivals"]]  # fmt: skip
        say_table("\nRetried", ("by", "when", "outcome", "error"), rows, console=console)
    if dead_letter["actions"]:
        rows = [(each["operator"], each["acted_at"], each["action"], msgspec.json.encode(each["detail"]).decode())
                for each in dead_letter["actions"]]  # fmt: skip
        say_table("\nDone by people", ("by", "when", "what", "detail"), rows, console=console)
    if dead_letter["record"] is not None:
        whose = "edited" if dead_letter["edited_at"] else "as it was last known"
        console.print(f"\n[bold]Record[/], {whose}")
        console.print_json(bytes(dead_letter["record"]).decode())
    where = f"tds explain {dead_letter['entity']} {dead_letter['source_id']}"
    console.print(f"The record's whole story: {where}", soft_wrap=True)


def _meaning(diagnosis: DiagnosisFields, console: Console) -> None:
    console.print(f"  {escape(diagnosis['says'])}", soft_wrap=True)
    console.print(f"  [cyan]{escape(diagnosis['fix'])}[/]", soft_wrap=True)


def show_preview(preview: RetryPreview, console: Console) -> None:
    """Print the calls, time and changes of a retry."""
    rows = [(each["entity"], each["letter_count"], each["edited_count"], each["oldest_at"], each["newest_at"])
            for each in preview["by_entity"]]  # fmt: skip
    say_table("Letters meant", ("entity", "letters", "edited", "oldest", "last died"), rows, console=console)
    calls = ", ".join(
        f"{api} {preview['least_calls'][api]:,} to {most:,}" for api, most in preview["most_calls"].items() if most
    )
    takes = "the quota leaves it no calls" if preview["seconds"] is None else f"takes about {_span(preview['seconds'])}"
    console.print(f"Calls to Zoho: {calls or 'none'}; {takes} at {preview['per_minute']:,} a minute.", soft_wrap=True)
    for each in preview["sample"]:
        outcome = each.get("error") or _changed(each.get("changes", {}))
        line = (
            f"  {each['letter_id']} {each['entity']} {each['source_id']}: {each['outcome']} ({each['seen']}) {outcome}"
        )
        console.print(escape(line), soft_wrap=True, highlight=False)


def _changed(changes: Mapping[str, Sequence[Any]]) -> str:
    return "; ".join(f"{name} {before} → {after}" for name, (before, after) in changes.items())[:300]


def _span(seconds: float) -> str:
    units = (("days", 86_400, 172_800), ("hours", 3600, 7200), ("minutes", 60, 120))
    unit, length = next(((unit, length) for unit, length, least in units if seconds >= least), ("seconds", 1))
    return f"{seconds / length:,.0f} {unit}"


def show_batches(batches: Sequence[RetryBatchRow], console: Console) -> None:
    """Print batches with the outcomes of their dead letters."""
    rows = [
        (
            str(each["id"]), each["state"], each["requested_by"], each["requested_at"], each["letter_count"],
            ", ".join(f"{name} {count:,}" for name, count in each["outcomes"].items()),
        )
        for each in batches
    ]  # fmt: skip
    say_table("Batches", ("id", "state", "by", "when", "letters", "outcomes"), rows, console=console)
