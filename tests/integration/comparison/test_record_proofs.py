"""States of rows are read of any id, and only those that are not proven as they are."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from tds_core.comparison.record_proofs import Proof, row_states, store_proofs, unmoved, unproven_states
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.planted_rows import records
from tests.support.world import World

PRODUCT = ENTITIES["product"]
IDS = ["1", 'quo"te', "back\\slash", "{brace,comma}", "null", "", "é"]
HASH, OTHER = b"h" * 16, b"o" * 16


@pytest.fixture
def session(world: World) -> Iterator[Session]:
    records(world.engine, "product", *({"source_id": each, "name": each or "none"} for each in IDS))
    with session_scope(world.engine) as session:
        states = row_states(session, PRODUCT, IDS)
        assert all(state.is_live and state.digest for state in states.values())
        proofs = [Proof(each, HASH, states[each].digest or b"", b"c" * 16, is_detailed=False) for each in IDS]
        store_proofs(session, PRODUCT, proofs)
        yield session


def test_what_is_proven_as_it_is_needs_no_state(session: Session) -> None:
    assert unproven_states(session, PRODUCT, dict.fromkeys(IDS, HASH)) == {}
    assert list(unproven_states(session, PRODUCT, {**dict.fromkeys(IDS, HASH), 'quo"te': OTHER})) == ['quo"te']
    state = unproven_states(session, PRODUCT, {"nowhere": HASH})["nowhere"]
    assert (state.is_live, state.digest, state.proven_digest) == (False, None, None)


def test_a_row_that_was_changed_or_deleted_by_hand_is_not_proven(session: Session, world: World) -> None:
    states = row_states(session, PRODUCT, [*IDS, "nowhere"])
    session.connection().exec_driver_sql("update erp.product set price = 7 where source_id = 'null'")
    session.connection().exec_driver_sql("update erp.product set deleted_at = now() where source_id = '1'")
    session.connection().exec_driver_sql("delete from erp.product where source_id = 'é'")
    assert set(unproven_states(session, PRODUCT, dict.fromkeys(IDS, HASH))) == {"null", "1", "é"}
    # A deletion is not part of a row's digest: whether it lives is looked at by itself.
    assert states.keys() - unmoved(session, PRODUCT, states) == {"null", "é"}
