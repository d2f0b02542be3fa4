"""The site of a rehearsal: a whole TDS with the stand-in as Zoho, in a clean home."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import Engine

from tds_api.cli.breakers import quiet_breakers
from tds_core.sources.base import Source
from tds_core.sources.registry import open_source
from tds_core.sync.run_requests import request_records
from tds_lab.demo import phases
from tds_lab.testbed import Environment
from tds_lab.zoho_stand_in import rules
from tds_models.db import session_scope

#: A day of people at work in Zoho.
EDITING_SECONDS = 1.5
#: Webhooks that never come; what they would have said the nightly reads find.
DROPPED_SHARE = 0.05


class StackSite:
    """A running stack; see `tds_lab.migration_rehearsal.weeks.Site`."""

    def __init__(self, environment: Environment, *, edits_per_day: int, seed: int) -> None:
        self._environment, self._rate, self._seed = environment, edits_per_day / EDITING_SECONDS, seed
        self.engine: Engine = environment.engine
        settings = environment.stack.settings
        environment.stand_in.set_rules(list(rules(environment.stack.urls["webhooks"], settings.zoho_webhook_secret)))
        environment.stand_in.set_faults({"drop": DROPPED_SHARE})

    def open_source(self, name: str) -> Source:
        """The stand-in, as TDS reads it."""
        settings = self._environment.stack.settings
        return open_source(name, settings, partial(session_scope, self.engine), quiet_breakers(settings))

    def edit(self, day: int) -> None:
        """Edit at random for a moment."""
        self._environment.stand_in.start_edits(rate=self._rate, seed=self._seed + day)
        time.sleep(EDITING_SECONDS)
        self._environment.stand_in.stop_edits()

    def catch_up(self) -> None:
        """Wait until webhooks are worked off, then read the lists."""
        phases.wait_until_quiet(self._environment)
        phases.sweep(self._environment, also_full=True)

    def read_again(self, entity: str, source_id: str) -> None:
        """Enqueue a reading that is applied whatever its time of change."""
        with session_scope(self.engine) as session:
            request_records(session, entity=entity, source_ids=[source_id], requested_by="rehearsal", forced=True)

    def records(self, plural: str) -> list[Mapping[str, Any]]:
        """The stand-in's own records."""
        return list(self._environment.stand_in.dump(plural))
