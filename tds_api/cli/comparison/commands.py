"""`tds compare`: compares the mirror with its source, shows what differs and why, and has it repaired."""

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperCommand

from tds_api.cli.common.output import say, say_error, say_json, terminal
from tds_api.cli.comparison.backend import ComparisonBackend, RepairPrice, comparison_backend
from tds_api.cli.comparison.option_conflicts import OUTPUT, CompareOptions
from tds_api.cli.comparison.repair import repair
from tds_api.cli.comparison.views import show_comparison, show_differences
from tds_api.cli.comparison.watch import watch
from tds_core.comparison import agreement_statements, queries
from tds_core.comparison.queries import ComparisonStatus, DifferenceRow
from tds_core.errors import ConfigError, TdsError
from tds_models.comparison import Agreement, ComparisonState, DifferenceState

ERROR, UNPROVEN = 2, 3
# How long workers have to show that they can read, where this command does not know how.
MOVES_WITHIN_SECONDS, LOOK_SECONDS = 5.0, 0.2
EXIT_CODES = {Agreement.EQUAL: 0, Agreement.DIFFERS: 1, Agreement.UNPROVEN: UNPROVEN}
#: So many records are shown unless all are asked for.
FEW, ALL = 20, 2**31


class CompareCommand(TyperCommand):
    """A command whose option `--statement` may stand without a file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a bare `--statement` its value: standard output."""
        return super().parse_args(ctx, list(_filled(args)))


def _filled(args: Sequence[str]) -> Iterator[str]:
    for place, arg in enumerate(args):
        yield arg
        if arg == "--statement" and (place + 1 == len(args) or args[place + 1].startswith("--")):
            yield OUTPUT


def compare(  # noqa: PLR0917 (options, which are given by name)
    entity: str = typer.Argument("", help="For example product; without it, everything.", show_default=False),
    deep: int = typer.Option(0, min=0, max=100_000, metavar="N", help="Read so many records of each in detail, too."),
    follow: bool = typer.Option(False, "--follow", help="Use the list a full pass read lately instead of a new one."),
    differences: bool = typer.Option(False, "--differences", help="Show every record that differs, not the first 20."),
    statement: str = typer.Option("", metavar="[FILE]", help="Write the signed statement; without a file, print it."),
    repair: bool = typer.Option(False, "--repair", help="Have what differs read again, after you saw the price."),
    yes: bool = typer.Option(False, "--yes", help="With --repair: ask nothing."),
    include_asked: bool = typer.Option(
        False, "--include-asked", help="With --repair: take the source's value of fields with the policy ask, too."
    ),
    show: int | None = typer.Option(
        None, min=1, metavar="ID", show_default=False, help="Go on watching, or show, this one."
    ),
    cancel: int | None = typer.Option(None, min=1, metavar="ID", help="Stop this one."),
    no_wait: bool = typer.Option(False, "--no-wait", help="Request it, and do not watch."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Compare the mirror with its source, record by record; the workers of a running TDS do it.

    Exit code 0: equal. 1: something differs. 2: an error. 3: unproven, for nothing more is known yet.

    Ctrl-C stops watching, not the comparison. What it means and how it works: docs/proof.md.
    """
    options = CompareOptions(
        entity=entity, deep=deep, follow=follow, shown_id=show or 0, cancelled_id=cancel or 0, wait=not no_wait,
        differences=differences, statement=statement, repair=repair, yes=yes, include_asked=include_asked,
        as_json=as_json,
    )  # fmt: skip
    with _errors_end_with(ERROR):
        options.refuse_contradictions()
        with comparison_backend() as backend:
            raise typer.Exit(_Comparing(backend, options).run())


@contextmanager
def _errors_end_with(code: int) -> Iterator[None]:
    """Errors are told as of every command, and end with this code: 1 says that something differs."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except TdsError as error:
        say_error(error)
        raise typer.Exit(code) from None
    except Exception:
        say(traceback.format_exc(), err=True)
        raise typer.Exit(code) from None


class _Comparing:
    """One call of `tds compare`."""

    def __init__(self, backend: ComparisonBackend, options: CompareOptions) -> None:
        self._backend, self._options = backend, options
        self._console: Console = terminal(stderr=True, quiet=options.as_json)

    def run(self) -> int:
        """Do what was asked for. Returns the exit code."""
        options = self._options
        if options.cancelled_id:
            return self._cancel()
        comparison_id = options.shown_id or self._request()
        if not options.wait:
            say(f"Comparison {comparison_id} is requested. See it: tds compare --show {comparison_id}", err=True)
            if options.as_json:
                say_json(self._look(comparison_id))
            return UNPROVEN
        status, waits = self._watched(comparison_id)
        if options.repair and status["agreement"] == Agreement.DIFFERS:
            return self._repair(status)
        return self._report(status, waits)

    def _look(self, comparison_id: int) -> ComparisonStatus:
        found = self._backend.comparison(comparison_id)
        return queries.of_entity(found, self._options.entity) if self._options.entity else found

    def _cancel(self) -> int:
        status = self._backend.cancel(self._options.cancelled_id)
        if self._options.as_json:
            say_json(status)
        else:
            say(f"Comparison {status['id']}: {status['state']}.")
        return 0

    def _request(self, *, follow: bool = False) -> int:
        """The id of a comparison that is about what was asked for; one of something else is waited for first."""
        options = self._options
        names = [options.entity] if options.entity else []
        while True:
            comparison_id = self._backend.request(names, sample=options.deep, follow=follow or options.follow)
            status = self._backend.comparison(comparison_id)
            if not names or options.entity in {part["entity"] for part in status["parts"]}:
                return comparison_id
            say(f"Comparison {comparison_id} of something else goes first; it is watched until it ends.", err=True)
            if self._watch(comparison_id, is_whole=True)[1]:
                return comparison_id

    def _watched(self, comparison_id: int) -> tuple[ComparisonStatus, str]:
        status = self._look(comparison_id)
        if status["state"] != ComparisonState.RUNNING:
            return status, ""
        self._backend.warn_of_silence(self._console)
        if (absent := self._backend.unconnected()) and not self._moves(comparison_id):
            return status, f"it waits until TDS is connected: {absent}"
        return self._watch(comparison_id)

    def _moves(self, comparison_id: int) -> bool:
        """Whether something is read all the same: the workers may be connected by settings this command lacks."""
        until = time.monotonic() + MOVES_WITHIN_SECONDS
        while time.monotonic() < until:
            status = self._look(comparison_id)
            if status["api_call_count"] or status["state"] != ComparisonState.RUNNING:
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def _watch(self, comparison_id: int, *, is_whole: bool = False) -> tuple[ComparisonStatus, str]:
        look = self._backend.comparison if is_whole else self._look
        try:
            return watch(self._backend, lambda: look(comparison_id), self._console)
        except KeyboardInterrupt:
            say(f"\nComparison {comparison_id} goes on. {_how_to_go_on(comparison_id)}", err=True)
            raise typer.Exit(UNPROVEN) from None

    def _report(self, status: ComparisonStatus, waits: str, **more: Any) -> int:
        """Show what was found. Returns the exit code."""
        code = EXIT_CODES[Agreement(status["agreement"])] if status["agreement"] else UNPROVEN
        found = self._differences(status)
        if self._options.as_json:
            say_json({**status, "differences": found, "waits": waits or None, **more})
        elif self._options.statement != OUTPUT:
            self._show(status, found)
        if self._options.statement:
            code = self._state(status, code)
        for step in _next_steps(status, waits, self._options):
            say(step, err=True)
        return code

    def _differences(self, status: ComparisonStatus) -> list[DifferenceRow]:
        limit = ALL if self._options.differences else FEW
        states = [DifferenceState.CONFIRMED] if status["difference_count"] else []
        states += [DifferenceState.SUSPECT] if any(part["suspect_count"] for part in status["parts"]) else []
        found: list[DifferenceRow] = []
        for state in states:
            found += self._backend.differences(status["id"], entity=self._options.entity, state=state, limit=limit)
        return found[:limit]

    def _show(self, status: ComparisonStatus, found: list[DifferenceRow]) -> None:
        console = terminal()
        show_comparison(status, console)
        if found:
            say("")
            show_differences("What differs", found, console)
        total = status["difference_count"] + sum(part["suspect_count"] for part in status["parts"])
        if total > len(found) and found:
            say(f"{len(found):,} of {total:,}. See all: tds compare --show {status['id']} --differences")

    def _state(self, status: ComparisonStatus, code: int) -> int:
        """Write the statement of a comparison. Returns the exit code."""
        if status["statement"] is None:
            proven = status["agreement"] in (Agreement.EQUAL, Agreement.DIFFERS)
            why = (
                "TDS_SECRET_KEY is not set where the workers run" if proven else "nothing is stated of what is unproven"
            )
            say(f"Comparison {status['id']} made no statement: {why}.", err=True)
            return ERROR if proven else UNPROVEN
        text = agreement_statements.to_json(self._backend.statement(status["statement"]))
        if self._options.statement == OUTPUT:
            say(text.decode())
            return code
        try:
            Path(self._options.statement).write_bytes(text + b"\n")
        except OSError as error:
            raise ConfigError(f"The statement cannot be written: {error}") from None
        say(f"Statement {status['statement']} is in {self._options.statement}."
            f" Check it anywhere: tds verify statement {self._options.statement}", err=True)  # fmt: skip
        return code

    def _repair(self, status: ComparisonStatus) -> int:
        """Repair what differs, and compare again. Returns the exit code."""
        options = self._options
        if not options.as_json:
            self._show(status, self._differences(status))
        plan, waits = repair(
            self._backend, status, entity=options.entity, include_asked=options.include_asked, yes=options.yes,
            console=self._console,
        )  # fmt: skip
        if waits or not plan["run_ids"]:
            return self._unrepaired(status, plan, waits)
        after_id = self._request(follow=True)
        after, waits = self._watched(after_id)
        say(
            f"Of {status['difference_count']:,} records that differed, {_mended(status, after):,} are equal now.",
            err=True,
        )
        return self._report(after, waits, repair=plan, before=status)

    def _unrepaired(self, status: ComparisonStatus, plan: RepairPrice, waits: str) -> int:
        """End where nothing was compared again. Returns the exit code."""
        if self._options.as_json:
            say_json({**status, "differences": self._differences(status), "waits": waits or None, "repair": plan})
        if waits:
            say(f"The repair goes on by itself: {waits}\nThen: tds compare --follow", err=True)
        return EXIT_CODES[Agreement.DIFFERS]


def _mended(before: ComparisonStatus, after: ComparisonStatus) -> int:
    return max(0, before["difference_count"] - after["difference_count"])


def _how_to_go_on(comparison_id: int) -> str:
    return f"See it: tds compare --show {comparison_id}    Stop it: tds compare --cancel {comparison_id}"


def _next_steps(status: ComparisonStatus, waits: str, options: CompareOptions) -> Iterator[str]:
    """The commands that lead on."""
    of_entity = f" {options.entity}" if options.entity else ""
    if status["state"] == ComparisonState.RUNNING:
        yield f"Comparison {status['id']} is not done: {waits or 'it goes on'}"
        yield f"  {_how_to_go_on(status['id'])}"
    elif status["agreement"] == Agreement.DIFFERS:
        yield f"Mend it: tds compare{of_entity} --show {status['id']} --repair"
        yield "The whole story of one record: tds explain ENTITY ID --live"
    elif status["agreement"] == Agreement.UNPROVEN:
        yield f"Once that is settled: tds compare{of_entity}    What stands in the way: tds health"
    elif status["statement"] is not None and not options.statement:
        yield f"Keep the proof: tds compare --show {status['id']} --statement FILE"
