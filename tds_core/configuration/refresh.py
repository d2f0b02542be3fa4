"""Refresh of a process's settings: one small query every few seconds, in a thread of its own.

So no reader of a setting waits for the database, and while that is away the last known values stay in force.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_core.config.overrides import Override, overrides
from tds_core.config.settings import SETTABLE
from tds_core.configuration.versions import overrides_in_force
from tds_core.database_errors import is_away

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 3.0
# How long a fork waits for a refresh under way.
FORK_WAIT_SECONDS = 2.0

Scope = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh found: the overrides that came or changed, those that ended, and versions that are not valid."""

    changed: Mapping[str, Override]
    ended: Sequence[str]
    ignored: Mapping[str, int]


def refresh(scope: Scope) -> Refreshed:
    """Read the values in force, once. Raises SQLAlchemyError; then the last known ones stay."""
    with scope() as session:
        found, ignored = overrides_in_force(session)
    changed = {key: each for key, each in found.items() if overrides.of(key) != each}
    ended = [key for key in SETTABLE if overrides.of(key) and key not in found]
    overrides.replace(found)
    return Refreshed(changed, ended, ignored)


class _ForkGuard:
    """Makes a fork wait for a refresh under way, because a child's copy of a held lock is never released."""

    def __init__(self) -> None:
        self.begin_anew()
        os.register_at_fork(before=self._take, after_in_parent=self._give_back, after_in_child=self.begin_anew)

    def begin_anew(self) -> None:
        self.refreshing, self._is_held = threading.Lock(), False

    def _take(self) -> None:
        self._is_held = self.refreshing.acquire(timeout=FORK_WAIT_SECONDS)

    def _give_back(self) -> None:
        if self._is_held:
            self.refreshing.release()


_fork_guard = _ForkGuard()


def follow_configuration(scope: Scope, stop: threading.Event | None = None) -> threading.Thread:
    """Refresh now and then every REFRESH_SECONDS until `stop`, in a thread. Call it after any fork."""
    follower = _Follower(scope, stop or threading.Event())
    follower.look()
    thread = threading.Thread(target=follower.run, name="configuration", daemon=True)
    thread.start()
    return thread


class _Follower:
    def __init__(self, scope: Scope, stop: threading.Event) -> None:
        self._scope, self._stop, self._failing = scope, stop, False
        self._ignored: Mapping[str, int] = {}

    def run(self) -> None:
        while not self._stop.wait(REFRESH_SECONDS):
            self.look()

    def look(self) -> None:
        """Refresh once; a failure is logged when it begins."""
        try:
            with _fork_guard.refreshing:
                self._log_refreshed(refresh(self._scope))
        except SQLAlchemyError as error:
            if not self._failing and not is_away(error):  # an outage is told once, by the engine
                log.warning("configuration_not_read", error=type(error).__name__)
            self._failing = True
        except Exception:  # a bug here must not end the thread
            log.exception("configuration_refresh_failed")
        else:
            self._failing = False

    def _log_refreshed(self, found: Refreshed) -> None:
        for key, now in found.changed.items():
            log.info("configuration_changed", setting=key, value=now.value, version=now.version, by=now.changed_by)
        for key in found.ended:
            log.info("configuration_changed", setting=key, value=None)
        for key, version in found.ignored.items():
            if self._ignored.get(key) != version:
                log.warning("configuration_ignored", setting=key, version=version)
        self._ignored = found.ignored
