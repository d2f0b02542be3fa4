"""`tds migrate-from`: compare with the old tables, and show how far the days have come."""

from getpass import getuser
from typing import Annotated, Any

import typer

from tds_api.cli.common.database import database
from tds_api.cli.common.logged_transactions import did
from tds_api.cli.common.output import entity_named, say, say_json, terminal
from tds_api.cli.cutover import promotion, views
from tds_api.cli.cutover.options import DaysOption, JsonOption, MappingOption, today
from tds_api.cli.manual_deletion import zoho_source
from tds_core.config.settings import load_settings
from tds_core.cutover import days as cutover_days
from tds_core.cutover.comparison import ComparisonOrder, compare_with_old
from tds_core.cutover.days import DAYS_BEFORE_PROMOTION
from tds_core.cutover.mapping import load_mapping
from tds_core.cutover.promotion import open_promotion
from tds_core.errors import ConfigError
from tds_core.observability.logging import configure_logging
from tds_models.cutover import Verdict
from tds_models.db import session_scope
from tds_tasks.old_database import old_engine, scope_of_one_connection

migrate_from = typer.Typer(help="Take the place of an old sync: compare with its tables.", no_args_is_help=True)


@migrate_from.command()
def compare(
    mapping: MappingOption,
    entity: Annotated[list[str] | None, typer.Option(help="Only this entity; may be repeated.")] = None,
    deep: Annotated[
        int,
        typer.Option(min=0, max=100_000, help="Records of each entity read from Zoho at most, to say who is right."),
    ] = 200,
    as_json: JsonOption = False,
) -> None:
    """Compare the mirror with the old tables and say who is right; the result is stored under today's date.

    Ends with 1 when TDS is wrong about a record, or when of some it is not known who is right.
    """
    for name in entity or ():
        entity_named(name)
    parsed = load_mapping(mapping)
    if missing := [name for name in entity or () if name not in parsed.entities]:
        raise ConfigError(f"{mapping} maps no {missing[0]}. It maps {', '.join(parsed.entities)}.")
    configure_logging(load_settings().replace("command line", log_level="ERROR"), process="cli")
    results = []
    with database() as engine:
        order = ComparisonOrder(day=today(), deep=deep, requested_by=getuser(), entities=tuple(entity or ()))
        with old_engine(parsed, engine) as old, scope_of_one_connection(engine) as scope:
            for result in compare_with_old(scope, old, parsed, order, open_source=zoho_source(engine)):
                results.append(result)
                if not as_json:
                    say(views.sentence(result))
        did(engine, "migrate_from.compare", detail={"mapping": str(mapping), "deep": deep})
    if as_json:
        say_json({"day": order.day, "entities": [views.document(each) for each in results]})
    else:
        views.show_results("Compared with the old tables", results, terminal())
        views.show_next_steps(results)
    if any(each.is_tds_wrong or each.not_asked_count for each in results):
        raise typer.Exit(1)


@migrate_from.command()
def status(mapping: MappingOption, days: DaysOption = DAYS_BEFORE_PROMOTION, as_json: JsonOption = False) -> None:
    """Show how many clean days each entity has, and what stands in the way of the promotion."""
    parsed = load_mapping(mapping)
    with database() as engine, session_scope(engine) as session:
        found = cutover_days.readiness(session, parsed, today=today(), days=days)
        standing = open_promotion(session)
    if as_json:
        say_json({"is_ready": not any(each.problems for each in found), "days": days, "promotion": standing,
                  "entities": [views.readiness_document(each) for each in found]})  # fmt: skip
        return
    if standing:
        views.show_promotion(standing)
    else:
        views.show_readiness(found, days, terminal())


@migrate_from.command()
def differences(
    entity: Annotated[str, typer.Argument(help="An entity, for example product.")],
    verdict: Annotated[Verdict | None, typer.Option(help="Only those of this verdict.")] = None,
    after: Annotated[str, typer.Option(help="Those after this id.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many at most.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the records that differed in the newest comparison, and who is right about each."""
    entity_named(entity)
    with database() as engine, session_scope(engine) as session:
        found = cutover_days.stored_differences(session, entity, verdict=verdict, after=after, limit=limit)
    if as_json:
        say_json(found)
    else:
        views.show_differences(entity, found, terminal())


@migrate_from.command("days")
def list_days(
    entity: Annotated[str, typer.Option(help="Only this entity.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many at most.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """List the stored results, the newest first."""
    if entity:
        entity_named(entity)
    with database() as engine, session_scope(engine) as session:
        found = cutover_days.day_results(session, entity=entity or None, limit=limit).items
    if as_json:
        documents: list[dict[str, Any]] = [views.document(each) for each in found]
        say_json(documents)
    else:
        views.show_results("Comparisons with the old tables", found, terminal())


migrate_from.command("promote")(promotion.promote)
migrate_from.command("fallback")(promotion.fallback)
