"""`tds repair`: refetches rows that were deleted or changed by hand."""

from dataclasses import asdict
from getpass import getuser
from typing import Any

import typer

from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import entity_named, say, say_json
from tds_api.cli.common.remote_api import remote
from tds_core.invariants.row_repair import request_repair
from tds_models.entities import ENTITIES


def repair(
    entity: str = typer.Argument(help="For example product; or all."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Read anew what is not what its history says: rows taken away or changed by hand, see: tds verify.

    The workers of a running TDS do it. The history goes on: it says that a row was not there, or what stood instead.
    """
    names = list(ENTITIES) if entity == "all" else [entity_named(entity).name]
    results = [_request_repair(name) for name in names]
    if as_json:
        say_json(results)
        return
    for each in results:
        if not each["run_ids"]:
            say(f"{each['entity']}: all rows are what their history says.")
            continue
        watched = ", ".join(f"tds runs show {run_id}" for run_id in each["run_ids"])
        say(
            f"{each['entity']}: {each['missing_count']:,} rows are not there, {each['differing_count']:,} differ;"
            f" they are read anew. Watch it: {watched}"
        )


def _request_repair(name: str) -> dict[str, Any]:
    if api := remote():
        result: dict[str, Any] = api.post(f"/sync/{name}/repair")
        return result
    with acting("repair", name, entity=name) as session:
        return asdict(request_repair(session, entity=name, requested_by=getuser()))
