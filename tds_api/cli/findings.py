"""`tds findings`: shows findings about the records, and resolves one."""

from getpass import getuser
from typing import Any

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import entity_named, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.quality import findings as quality

findings = typer.Typer(help="Show findings, such as fields a source added or dropped; resolve one.")

MOST = 500


@findings.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    entity: str = typer.Option("", help="Of this entity only."),
    kind: str = typer.Option("", help="Of this kind only, such as schema_drift."),
    with_resolved: bool = typer.Option(False, "--all", help="Also those that are resolved."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Show the open findings, the newest first."""
    if context.invoked_subcommand:
        return
    of_entity = entity_named(entity).name if entity else None
    filters = {"kind": kind or None, "entity": of_entity, "is_open": None if with_resolved else True}
    if api := remote():
        rows = api.page("/findings", limit=MOST, **filters)
    else:
        with transaction() as session:
            rows = quality.findings(session, limit=MOST, **filters).items
    if as_json:
        say_json(rows)
        return
    columns = ("id", "entity", "kind", "severity", "about", "what", "first seen", "last seen", "resolved")
    say_table("Findings", columns, map(_row, rows), console=terminal())


@findings.command()
def resolve(finding_id: int = typer.Argument(help="A finding's id, see: tds findings")) -> None:
    """Close a finding."""
    if api := remote():
        finding = api.post(f"/findings/{finding_id}/resolve")
    else:
        with acting("findings.resolve", finding_id) as session:
            finding = quality.resolve(session, finding_id, by=getuser())
    say(f"Finding {finding['id']} ({finding['entity']} {finding['subject']}) is resolved by {finding['resolved_by']}.")


def _row(finding: quality.FindingRow) -> tuple[Any, ...]:
    detail = finding["detail"]
    kinds = f", was {' or '.join(detail['kinds_before'])}" if detail.get("kinds_before") else ""
    what = f"{detail.get('news', '')} ({detail['kind']}{kinds})" if detail.get("kind") else detail.get("news")
    return (
        finding["id"], finding["entity"], finding["kind"], finding["severity"], finding["subject"], what,
        finding["first_seen_at"], finding["last_seen_at"], finding["resolved_at"],
    )  # fmt: skip
