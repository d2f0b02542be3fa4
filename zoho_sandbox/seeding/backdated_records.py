"""Backdated records: made at some time of the past that ends where the seeded world begins."""

import random

from zoho_sandbox.record import Record, State
from zoho_sandbox.settings import Settings
from zoho_sandbox.world import World

_DAY = 86_400
# Changes are spread over the past two years; a record may be up to a year older than its last change.
_CHANGED_WITHIN = 730 * _DAY
_CREATED_BEFORE = 365 * _DAY


class Past:
    """The world being seeded, the dice, and the moment the past ends: the given day's start, or today's."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.world = world
        self.rng = random.Random(settings.seed)
        clock = world.clock
        self.until = clock.day_start(settings.as_of) if settings.as_of else clock.midnight(clock.now())
        self.today = clock.date(self.until)

    def record(self, state: State, record_id: str = "") -> Record:
        """A record made and last changed at some time."""
        modified = self.until - 1 - int(self.rng.random() * _CHANGED_WITHIN)
        created = modified - int(self.rng.random() * _CREATED_BEFORE)
        return Record(record_id or self.world.new_id(), state, created, modified)
