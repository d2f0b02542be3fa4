"""One running stand-in: the organisation, its accounts server, quota, faults, webhooks and edits, put together."""

from functools import partial
from typing import Any

from zoho_sandbox.api_faults import ApiFaults
from zoho_sandbox.automation.registry import AutomationRegistry
from zoho_sandbox.call_log import CallLog
from zoho_sandbox.clock import FastClock, OrgClock
from zoho_sandbox.edits.stream import EditStream
from zoho_sandbox.limits import Quota
from zoho_sandbox.oauth import Accounts
from zoho_sandbox.outage import Outage
from zoho_sandbox.seeding import seed_world
from zoho_sandbox.settings import Settings
from zoho_sandbox.webhooks.dispatch import WebhookDispatch
from zoho_sandbox.world import World


class Sandbox:
    """Everything a request may need. Start it once it is served, stop it before the process ends."""

    def __init__(self, settings: Settings, clock: OrgClock | None = None) -> None:
        self.settings = settings
        self.clock = clock or OrgClock(settings.timezone)
        self.world = World(settings, self.clock)
        seed_world(self.world, settings)
        self.accounts = Accounts(settings, self.clock.source)
        self.window_clock = FastClock(self.clock.source, settings.window_speed)
        self.quota = Quota(settings, self.clock, self.window_clock)
        self.faults = ApiFaults(settings.seed)
        self.webhooks = WebhookDispatch(settings, self.clock, self.window_clock)
        self.world.listeners.append(self.webhooks.announce)
        self.automation = AutomationRegistry(self.world.new_id, partial(self.webhooks.set_rules, origin="workflows"))
        self.stream = EditStream(self.world, settings.seed)
        self.rate_limit_headers = settings.rate_limit_headers
        self.default_filter = settings.default_filter
        self.undocumented_filters = settings.undocumented_filters
        self.outage = Outage(settings.blocking_threads)
        self.call_log = CallLog()

    def start(self) -> None:
        self.webhooks.start()
        if self.settings.edits_per_second:
            self.stream.start(self.settings.edits_per_second)

    def stop(self) -> None:
        self.stream.stop()
        self.webhooks.stop()

    @property
    def calls(self) -> dict[tuple[str, int], int]:
        """How often each endpoint of the API answered with each status."""
        return self.call_log.counts(accounts=False)

    def limits(self) -> dict[str, Any]:
        """Every limit by name; 0 means none."""
        return {
            "calls_per_minute": self.quota.calls_per_minute,
            "calls_per_day": self.quota.calls_per_day,
            "concurrent_calls": self.quota.concurrent_calls,
            "token_refreshes": self.accounts.refreshes_max,
            "token_seconds": self.accounts.token_seconds,
            "token_scope": self.accounts.tells_scope,
            "webhooks_per_day": self.webhooks.cap.limit,
            "rate_limit_headers": self.rate_limit_headers,
            "window_speed": self.window_clock.speed,
            "default_filter": self.default_filter,
            "undocumented_filters": self.undocumented_filters,
            "contacts_change_sides": self.world.contacts_change_sides,
        }

    def set_limits(self, wanted: dict[str, Any]) -> None:
        """Set some limits by name (null means none too); ValueError for a name that is none or a wrong value."""
        known = self.limits()
        wanted = {name: 0 if value is None else value for name, value in wanted.items()}
        if type(wanted.get("window_speed")) is int:
            wanted["window_speed"] = float(wanted["window_speed"])
        for name, value in wanted.items():
            if name not in known or type(value) is not type(known[name]) or (isinstance(value, int) and value < 0):
                raise ValueError(f"not a limit: {name}={value!r}; known are {', '.join(known)}")
        new = known | wanted
        self.quota.calls_per_minute = new["calls_per_minute"]
        self.quota.calls_per_day = new["calls_per_day"]
        self.quota.concurrent_calls = new["concurrent_calls"]
        self.accounts.refreshes_max = new["token_refreshes"]
        self.accounts.token_seconds = new["token_seconds"]
        self.accounts.tells_scope = new["token_scope"]
        self.webhooks.cap.limit = new["webhooks_per_day"]
        self.window_clock.set_speed(new["window_speed"])
        self.rate_limit_headers = new["rate_limit_headers"]
        self.default_filter = new["default_filter"]
        self.undocumented_filters = new["undocumented_filters"]
        self.world.contacts_change_sides = new["contacts_change_sides"]
