"""Routes that retry many dead letters: looked at first, then begun, watched and cancelled."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import Engine

from tds_api.blueprint import Blueprint
from tds_api.callers import acting
from tds_api.correlation import correlation_id
from tds_api.edge import Edge
from tds_api.permissions import needs
from tds_api.schemas.common import PageArguments, page_schema
from tds_api.schemas.letters import Preview, PreviewArguments, RetryArguments, RevivalBatchShown
from tds_core.breakers.breakers import Breakers
from tds_core.config import Settings
from tds_core.letters import batches
from tds_core.letters.preview import SAMPLE, preview
from tds_core.letters.selection import Selection
from tds_core.reading import letters as reading
from tds_core.sources.registry import open_source
from tds_core.sources.zoho.quota.setup import open_governor
from tds_core.sources.zoho.quota.usage import QuotaUnknownError, Usage
from tds_models.callers import Role
from tds_models.db import session_scope


def batch_routes(routes: Blueprint, edge: Edge) -> None:
    """Add the routes of batches to those of letters."""

    @routes.post("/retry/preview")
    @needs(Role.OPERATOR)
    @routes.arguments(PreviewArguments)
    @routes.response(200, Preview)
    def look(arguments: dict[str, Any]) -> Any:
        """What a retry costs, takes and changes: a sample is read from Zoho now, nothing is written."""
        per_minute, sample_size = _throttle(edge, arguments), arguments.pop("sample")
        return look_at(
            edge.settings,
            edge.engine,
            edge.breakers,
            Selection(**arguments),
            per_minute=per_minute,
            sample_size=sample_size,
        )

    @routes.post("/retry")
    @needs(Role.OPERATOR)
    @routes.arguments(RetryArguments)
    @routes.response(202, RevivalBatchShown)
    def retry(arguments: dict[str, Any]) -> Any:
        """Retry the letters that are meant, so many a minute."""
        per_minute, expected_count = _throttle(edge, arguments), arguments.pop("letter_count", None)
        with session_scope(edge.engine) as session:
            batch = batches.request_batch(
                session,
                Selection(**arguments),
                by=acting(),
                per_minute=per_minute,
                expected_count=expected_count,
                correlation_id=correlation_id(),
            )
            return reading.batch(session, batch.id)

    @routes.get("/retry")
    @needs(Role.VIEWER)
    @routes.arguments(PageArguments, location="query")
    @routes.response(200, page_schema(RevivalBatchShown))
    def listed(arguments: dict[str, Any]) -> Any:
        """Batches, the newest first."""
        with session_scope(edge.engine) as session:
            return reading.batches(session, **arguments)

    @routes.get("/retry/<int:batch_id>")
    @needs(Role.VIEWER)
    @routes.response(200, RevivalBatchShown)
    def one(batch_id: int) -> Any:
        """How far a batch is, and what its letters came to."""
        with session_scope(edge.engine) as session:
            return reading.batch(session, batch_id)

    @routes.post("/retry/<int:batch_id>/cancel")
    @needs(Role.OPERATOR)
    @routes.response(200, RevivalBatchShown)
    def cancel(batch_id: int) -> Any:
        """Retry no more letters of a batch; those that are work already go on."""
        with session_scope(edge.engine) as session:
            batches.cancel_batch(session, batch_id, by=acting())
            return reading.batch(session, batch_id)


def _throttle(edge: Edge, arguments: dict[str, Any]) -> int:
    return int(arguments.pop("per_minute", edge.settings.revive_per_minute))


def look_at(
    settings: Settings,
    engine: Engine,
    breakers: Breakers,
    selection: Selection,
    *,
    per_minute: int,
    sample_size: int = SAMPLE,
) -> Mapping[str, Any]:
    """A preview with what `settings` lead to."""
    scope = partial(session_scope, engine)
    governor = open_governor(settings)

    def usage() -> Usage | None:
        try:
            return governor.usage()
        except QuotaUnknownError:
            return None

    return preview(
        scope,
        selection,
        per_minute=per_minute,
        usage=usage,
        source=lambda name: open_source(name, settings, scope, breakers),
        sample_size=sample_size,
    )
