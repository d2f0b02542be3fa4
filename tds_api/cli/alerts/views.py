"""Alerts as commands show them: the list, one alert with its story, silences, rules, channels and messages."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from tds_api.cli.common.output import cell, distance, moment, say_table, terminal
from tds_core.alerts.text_formatting import detail_lines, shown_detail, span

_COLORS = {"warning": "yellow", "error": "red", "critical": "bold red"}
Row = Mapping[str, Any]


def show_alerts(title: str, rows: Iterable[Row]) -> None:
    """A table of alerts."""
    columns = ("id", "severity", "state", "rule", "about", "since", "what", "muted by", "with")
    cells = [
        (str(row["id"]), row["severity"], row["state"], row["rule"], row["subject"], row["fired_at"] or row["since_at"],
         row["summary"], _muted_by(row), _carer(row))
        for row in rows
    ]  # fmt: skip
    say_table(title, columns, cells, console=terminal())


def _muted_by(alert: Row) -> str | None:
    return f"silence {alert['silenced_by'][-1]}" if alert["silenced_by"] else alert["muted_by"]


def _carer(alert: Row) -> str | None:
    return alert["acknowledged_by"] if alert["state"] == "acknowledged" else None


def show_story(story: Row) -> None:
    """One alert: what it says, what is behind it, what to do; its changes and messages."""
    alert, advice, console = story["alert"], story["advice"], terminal()
    title = advice["title"] if advice else alert["rule"]
    about = f": {alert['subject']}" if alert["subject"] else ""
    color = _COLORS.get(alert["severity"], "")
    heading = f"[{color}]{alert['severity'].upper()}[/], {alert['state']}: [bold]{escape(title + about)}[/]"
    console.print(heading, soft_wrap=True)
    _say(console, alert["summary"])
    for line in detail_lines(shown_detail(alert["detail"], with_text=True)):
        _say(console, line)
    _say(console, _times(alert))
    if alert["state"] == "acknowledged":
        note = f": {alert['note']}" if alert["note"] else ""
        until = clock(alert["acknowledged_until"])
        _say(console, f"acknowledged by {alert['acknowledged_by']} until {until}{note}")
    if alert["silenced_by"]:
        _say(console, f"silent: tds alerts silences shows silence {alert['silenced_by'][-1]}")
    if alert["muted_by"]:
        _say(console, f"sends no messages while its cause fires: {alert['muted_by']}")
    if advice:
        _say(console, f"usually: {advice['cause']}")
        _say(console, f"TDS by itself: {advice['automatic']}")
        _say(console, f"to do: {advice['command']}")
    if story["mutes"]:
        _say(console, f"mutes what it causes: {', '.join(story['mutes'])}")
    console.print()
    show_transitions("Changes", story["transitions"], with_alert=False)
    console.print()
    show_deliveries("Messages", story["deliveries"], with_alert=False)


def _say(console: Console, text: str) -> None:
    console.print(escape(text), soft_wrap=True, highlight=False)


def _times(alert: Row) -> str:
    if not alert["fired_at"]:
        return f"never fired; seen {cell(alert['seen_at'])}"
    ended = alert["resolved_at"]
    lasted = span(((ended or datetime.now(UTC)) - alert["fired_at"]).total_seconds())
    end = f", over at {moment(ended)} after {lasted}" if ended else f", for {lasted}"
    times = "once" if alert["episode"] == 1 else f"{alert['episode']:,} times"
    return f"since {moment(alert['fired_at'])}{end}; fired {times} in all"


def show_transitions(title: str, rows: Iterable[Row], *, with_alert: bool = True) -> None:
    """A table of changes."""
    columns = ("when", "alert", "rule", "about", "from", "to", "by", "why")
    cells = [
        (row["at"], str(row["alert_id"]), row["rule"], row["subject"], row["from_state"], row["to_state"],
         row["changed_by"], row["reason"])
        for row in rows
    ]  # fmt: skip
    hidden = () if with_alert else ("alert", "rule", "about")
    say_table(title, *_without(columns, cells, hidden), console=terminal())


def show_deliveries(title: str, rows: Iterable[Row], *, with_alert: bool = True) -> None:
    """A table of messages to channels."""
    columns = ("made", "alert", "rule", "about", "channel", "says", "state", "sent", "attempts", "why", "error")
    cells = [
        (row["created_at"], str(row["alert_id"] or ""), row["rule"], row["subject"], row["channel"], row["kind"],
         row["state"], row["sent_at"], row["attempts"], row["reason"], _last_error(row))
        for row in rows
    ]  # fmt: skip
    hidden = () if with_alert else ("alert", "rule", "about")
    say_table(title, *_without(columns, cells, hidden), console=terminal())


def _last_error(delivery: Row) -> str | None:
    return delivery["tries"][-1].get("error") if delivery["tries"] else None


def _without(
    columns: Sequence[str], cells: Sequence[Sequence[Any]], hidden: Sequence[str]
) -> tuple[list[str], list[list[Any]]]:
    kept = [number for number, name in enumerate(columns) if name not in hidden]
    return [columns[number] for number in kept], [[row[number] for number in kept] for row in cells]


def show_silences(rows: Iterable[Row]) -> None:
    """A table of silences and maintenance windows."""
    columns = ("id", "state", "rules", "about", "severities", "ends", "window", "why", "by")
    cells = [
        (str(row["id"]), row["state"], _patterns(row["rules"]), _patterns(row["subjects"]),
         _patterns(row["severities"]), row["ended_at"] or row["ends_at"], _window(row), row["reason"],
         row["created_by"])
        for row in rows
    ]  # fmt: skip
    say_table("Silences", columns, cells, console=terminal())


def _patterns(values: Sequence[str]) -> str:
    return ", ".join(value or "(the whole)" for value in values) or "all"


def _window(silence: Row) -> str | None:
    return f"{silence['cron']} for {span(silence['duration_seconds'])}" if silence["cron"] else None


def show_preview(preview: Row) -> None:
    """What a silence mutes now."""
    console, count = terminal(), preview["matching_count"]
    if count:
        _say(console, f"It mutes {count:,} active alert{'s' if count != 1 else ''} now:")
    for each in preview["matching"]:
        _say(console, f"  {each}")
    if preview["warning"]:
        console.print(f"[yellow]{escape(preview['warning'])}[/]", soft_wrap=True)


def clock(value: datetime | str | None) -> str:
    """A moment by the clock; from a remote TDS it may be text."""
    if value is None:
        return "-"
    return moment(datetime.fromisoformat(value) if isinstance(value, str) else value)


def since(value: datetime | str | None) -> str | None:
    """How long ago a moment is; from a remote TDS it may be text."""
    if value is None:
        return None
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return distance((datetime.now(UTC) - at).total_seconds())
