"""Options of `tds compare`, and which of them contradict one another."""

from collections.abc import Iterator
from dataclasses import dataclass

from tds_api.cli.common.output import entity_named
from tds_core.errors import ConfigError

#: A statement goes to standard output.
OUTPUT = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """What `tds compare` was asked for. `entity`: "" for all; `statement`: a file, "-", or "" for none."""

    entity: str
    deep: int
    follow: bool
    shown_id: int
    cancelled_id: int
    wait: bool
    differences: bool
    statement: str
    repair: bool
    yes: bool
    include_asked: bool
    as_json: bool

    def refuse_contradictions(self) -> None:
        """Raises ConfigError for options that contradict one another, NoSuchEntityError for an unknown entity."""
        if self.entity:
            entity_named(self.entity)
        for contradicts, message in self._contradictions():
            if contradicts:
                raise ConfigError(message)

    def _contradictions(self) -> Iterator[tuple[object, str]]:
        is_known = self.shown_id or self.cancelled_id
        reports = self.repair or self.statement or self.differences
        yield (
            self.shown_id and self.cancelled_id,
            "A comparison is shown or cancelled: --show ID, or --cancel ID.",
        )
        yield (
            is_known and (self.deep or self.follow or not self.wait),
            "--deep, --follow and --no-wait are for a new comparison, without --show and --cancel.",
        )
        yield (
            self.cancelled_id and (reports or self.entity),
            "--cancel stops a whole comparison and does nothing else: tds compare --cancel ID",
        )
        yield (
            (self.yes or self.include_asked) and not self.repair,
            "--yes and --include-asked belong to --repair: tds compare --repair --yes",
        )
        yield not self.wait and reports, "--no-wait ends before anything is known; without it: tds compare"
        yield (
            self.repair and self.as_json and not self.yes,
            "With --json nobody is asked: tds compare --repair --yes --json",
        )
        yield (
            self.statement == OUTPUT and self.as_json,
            "--statement without a file is printed as JSON by itself; leave --json out, or name a file.",
        )
