"""Every check of `tds doctor`, in the order a person would make them."""

from collections.abc import Iterator

from tds_api.cli.checking.finding import Finding
from tds_api.cli.checking.machine import disk, memory, packages, ports, python, secrets
from tds_api.cli.checking.organization import one_organization
from tds_api.cli.checking.postgres import postgres
from tds_api.cli.checking.redis_server import redis_server
from tds_api.cli.checking.zoho import access, settings_for_zoho, signatures, ways, webhooks
from tds_core.config import Settings


def all_findings(settings: Settings, *, asks_zoho: bool = True) -> Iterator[Finding]:
    """Run every check in the order a person would; with `asks_zoho` also those that cost calls to Zoho."""
    yield python()
    yield packages()
    yield memory()
    yield disk(settings)
    yield from postgres(settings)
    yield from redis_server(settings)
    yield from ports(settings)
    yield secrets(settings)
    yield signatures(settings)
    complete = settings_for_zoho(settings)
    yield complete
    if complete.is_ok:
        yield from one_organization(settings)
        yield from ways(settings)
        found = access(settings)
        yield found
        if found.is_ok and asks_zoho:
            yield webhooks(settings)
