"""`tds alerts rules`: shows alert rules, changes their terms, tries them on the past, prints them for Prometheus."""

from getpass import getuser
from typing import Annotated, Any

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import cell, moment, read_duration, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.alerts import metric_samples, queries, rule_terms
from tds_core.alerts.metric_samples import LONGEST_DAYS
from tds_core.alerts.prometheus_rules import rules_file
from tds_core.alerts.rules import RULES, rule_of
from tds_core.alerts.rules_markdown import markdown_table
from tds_core.alerts.text_formatting import span
from tds_core.errors import ConfigError
from tds_models.alerts import AlertSeverity

PATH = "/alert-rules"
Name = Annotated[str, typer.Argument(help="A rule, see: tds alerts rules")]

_AS_JSON = typer.Option(False, "--json", help="For programs.")
_THRESHOLD = typer.Option(help="The value it compares with, in the rule's unit.")
_FOR = typer.Option("", "--for", metavar="TIME", help="So long the condition is met before it fires: 0s, 5min.")
_KEEP = typer.Option("", "--keep", metavar="TIME", help="So long it is not met before it is resolved.")
_REASON = typer.Option("", help="Why; kept with the version.")

rules_app = typer.Typer(help="Alert rules: shown, changed, switched off, tried on the past, reset.")


@rules_app.callback(invoke_without_command=True)
def listed(
    context: typer.Context,
    as_markdown: bool = typer.Option(False, "--markdown", help="As the table of the documents."),
    as_prometheus: bool = typer.Option(False, "--prometheus", help="As a file of rules for Prometheus."),
    as_json: bool = _AS_JSON,
) -> None:
    """Show every rule with its terms in force, and how many of its alerts are active."""
    if context.invoked_subcommand:
        return
    if as_markdown or as_prometheus:
        say(markdown_table(RULES) if as_markdown else rules_file(RULES), nl=False)
        return
    if api := remote():
        rows = api.get(PATH)
    else:
        with transaction() as session:
            rows = queries.rules(session, RULES)
    if as_json:
        say_json(rows)
        return
    columns = ("rule", "severity", "fires", "for", "active", "what", "changed by")
    say_table("Alert rules", columns, map(_row, rows), console=terminal())


def _row(rule: Any) -> tuple[Any, ...]:
    terms = rule["terms"]
    changed_by = terms["changed_by"] if terms["changed_by"] != rule_terms.DECLARED_BY else None
    return (
        rule["name"], terms["severity"] if terms["is_enabled"] else "off", _condition(rule, terms),
        span(terms["for_seconds"]), rule["active_count"], rule["title"], changed_by,
    )  # fmt: skip


def _condition(rule: Any, terms: Any) -> str:
    if not rule["is_measured"]:
        return "as Prometheus says"
    if rule["unit"] == "state":
        return "when it is so"
    return f"{'below' if rule['is_below'] else 'above'} {_amount(terms['threshold'], rule['unit'])}"


def _amount(value: float, unit: str) -> str:
    """A value of a rule with its unit."""
    if unit == "ratio":
        return f"{value * 100:.10g}%"
    return span(value) if unit == "seconds" else f"{value:,.10g} {unit}"


@rules_app.command()
def show(name: Name, as_json: bool = _AS_JSON) -> None:
    """Show one rule: its words, its terms in force, and every version of them."""
    if api := remote():
        rule = api.get(f"{PATH}/{name}")
    else:
        with transaction() as session:
            [found] = queries.rules(session, [rule_of(name)])
            rule = {**found, "versions": rule_terms.versions(session, name)}
    _show(rule, as_json)


def _show(rule: Any, as_json: bool) -> None:
    if as_json:
        say_json(rule)
        return
    terms, console = rule["terms"], terminal()
    state = f"{terms['severity']}, fires {_condition(rule, terms)}" if terms["is_enabled"] else "switched off"
    console.print(f"[bold]{rule['name']}[/]: {rule['title']}. It is {state}, {rule['active_count']} active.")
    say(f"usually: {rule['cause']}\nTDS by itself: {rule['automatic']}\nto do: {rule['command']}")
    if rule["muted_by"]:
        say(f"sends no messages while one of these fires: {', '.join(rule['muted_by'])}")
    columns = ("version", "since", "on", "severity", "threshold", "for", "keep", "by", "why")
    rows = [
        (each["version"], moment(each["changed_at"]), each["is_enabled"], each["severity"],
         _amount(each["threshold"], rule["unit"]),
         span(each["for_seconds"]), span(each["keep_seconds"]), each["changed_by"], each["reason"])
        for each in rule["versions"]
    ]  # fmt: skip
    say_table("Versions, the newest is in force", columns, rows, console=console)


@rules_app.command("set")
def set_terms(
    name: Name,
    *,
    threshold: Annotated[float | None, _THRESHOLD] = None,
    severity: Annotated[AlertSeverity | None, typer.Option(help="How bad its alerts are.")] = None,
    lasts: str = _FOR,
    keep: str = _KEEP,
    reason: str = _REASON,
    as_json: bool = _AS_JSON,
) -> None:
    """Put other terms of a rule in force, from the next evaluation on. Try them first: tds alerts rules dry-run."""
    changes = {**_times(lasts, keep), **({} if threshold is None else {"threshold": threshold})}
    if severity:
        changes["severity"] = severity.value
    if not changes:
        raise ConfigError(f"Say what changes: tds alerts rules set {name} --threshold 50, --severity, --for, --keep.")
    _change(name, changes, reason, as_json)


@rules_app.command()
def enable(name: Name, reason: str = _REASON, as_json: bool = _AS_JSON) -> None:
    """Let a rule that was switched off fire again."""
    _change(name, {"is_enabled": True}, reason, as_json)


@rules_app.command()
def disable(name: Name, reason: str = _REASON, as_json: bool = _AS_JSON) -> None:
    """Switch a rule off: it fires no longer, and its alerts end. For a time, silence it instead."""
    _change(name, {"is_enabled": False}, reason, as_json)


def _times(lasts: str, keep: str) -> dict[str, Any]:
    times = {"for_seconds": lasts, "keep_seconds": keep}
    return {name: int(read_duration(text).total_seconds()) for name, text in times.items() if text}


def _change(name: str, changes: dict[str, Any], reason: str, as_json: bool) -> None:
    body = {**changes, **({"reason": reason} if reason else {})}
    if api := remote():
        api.change("PUT", f"{PATH}/{name}", body)
    else:
        with acting("alerts.rules.set", name, detail=body) as session:
            rule_terms.change(session, rule_of(name), changes, by=getuser(), reason=reason or None)
    _say_changed(name, as_json)


@rules_app.command()
def reset(name: Name, as_json: bool = _AS_JSON) -> None:
    """Put the declared terms of a rule in force again."""
    if api := remote():
        api.post(f"{PATH}/{name}/reset")
    else:
        with acting("alerts.rules.reset", name) as session:
            rule_terms.reset(session, rule_of(name), by=getuser())
    _say_changed(name, as_json)


def _say_changed(name: str, as_json: bool) -> None:
    if as_json:
        show(name, as_json=True)
    else:
        say(f"{name} has other terms from the next evaluation on, in 15 s. See them: tds alerts rules show {name}")


@rules_app.command("dry-run")
def dry_run(
    name: Name,
    *,
    threshold: Annotated[float | None, _THRESHOLD] = None,
    lasts: str = _FOR,
    keep: str = _KEEP,
    days: int = typer.Option(7, min=1, max=LONGEST_DAYS, help="Over so many days."),
    as_json: bool = _AS_JSON,
) -> None:
    """Show when a rule would have fired with these terms, by the values that were measured. Nothing is changed."""
    changes = {"threshold": threshold, **_times(lasts, keep)}
    if api := remote():
        found = api.get(f"{PATH}/{name}/dry-run", days=days, **changes)
    else:
        rule = rule_of(name)
        with transaction() as session:
            terms = rule_terms.changed_terms(rule_terms.terms_in_force(session, [rule])[name], changes)
            found = metric_samples.dry_run(session, rule, terms, days=days)
    if as_json:
        say_json(found)
        return
    say(found["says"])
    rows = [(moment(each["began_at"]), each["subject"], span(each["seconds"]), cell(each["ended_at"] is None))
            for each in found["firings"]]  # fmt: skip
    if rows:
        say_table("It would have fired", ("from", "about", "lasted", "still"), rows, console=terminal())
