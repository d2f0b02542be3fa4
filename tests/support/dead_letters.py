"""Dead letters for tests: made as they come to be, or many at once."""

from tds_core.dead_letters import retry_batches
from tds_core.dead_letters.preview import Selection
from tds_core.errors import PermanentError
from tds_core.invariants.verify import verify
from tds_models.db import session_scope
from tests.support.world import ScriptedSource, World, delivery, product


def dead(world: World, source: ScriptedSource, *source_ids: str, error: Exception | None = None) -> list[int]:
    """Products that died with their events of `error`. Returns their letters' ids."""
    for source_id in source_ids:
        source.records[source_id] = error or PermanentError("HTTP 400, code 9: no")
        world.deliver(delivery("product", product(source_id), complete=False))
    world.drain("product")
    found = world.rows("select id, source_id from tds_dead_letter_queue order by id")
    return [row["id"] for row in found if row["source_id"] in source_ids]


def many(world: World, count: int) -> None:
    """`count` letters of products without events."""
    world.execute(
        """
        insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts,
                                           priority, correlation_id)
        select 'zoho', 'product', (460000000000000 + n)::text, 'transient', 'HTTP 503', 'transient:product:HTTP _',
               8, 5, 'corr-' || n
        from generate_series(1, :count) n
        """,
        count=count,
    )


def mend(source: ScriptedSource, *source_ids: str) -> None:
    """Let the source show these products again."""
    source.records.update({source_id: product(source_id, second=9) for source_id in source_ids})


def request(world: World, *, per_minute: int = 60_000, **selection: object) -> retry_batches.RetryBatch:
    """Ask for a batch; without a selection of everything."""
    with session_scope(world.engine) as session:
        chosen = Selection(**(selection or {"everything": True}))  # type: ignore[arg-type]
        return retry_batches.request_batch(session, chosen, by="ann", per_minute=per_minute)


def step(world: World, *, seconds: float = 1.0) -> int:
    """What a batch may do after so long."""
    world.execute("update tds_dead_letter_batches set stepped_at = stepped_at - make_interval(secs => :s)", s=seconds)
    with session_scope(world.engine) as session:
        return retry_batches.step(session)


def letter(world: World, letter_id: int) -> dict[str, object]:
    """A letter's row."""
    return world.one("select * from tds_dead_letter_queue where id = :id", id=letter_id)


def broken_promises(world: World) -> list[str]:
    """What the history checker complains about."""
    with session_scope(world.engine) as session:
        return [finding.name for finding in verify(session) if finding.violation_count]
