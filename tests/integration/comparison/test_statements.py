"""Statements are what was signed, in a chain, and made of nothing unproven."""

import dataclasses
from typing import Any

import msgspec
import pytest
from sqlalchemy.exc import DBAPIError

from tds_core.audit_trail.seal_keys import derive
from tds_core.comparison import agreement_statements, stated_differences
from tds_core.comparison.agreement_statements import SignedStatement, StatementError
from tds_core.errors import NotFoundError
from tds_models.db import session_scope
from tds_tasks.context import settings
from tests.support.comparing import compare
from tests.support.database_role import REFUSED_CHANGE
from tests.support.planted_faults import FAULTS, Ground
from tests.support.world import World


def newest(world: World) -> SignedStatement:
    with session_scope(world.engine) as session:
        return agreement_statements.read(session)


def wrong_with(statement: SignedStatement) -> list[str]:
    key = derive(settings().secret_key)
    return agreement_statements.verify(statement, {key.id: key.secret})


def test_a_statement_says_what_was_equal_and_can_be_verified_without_a_database(loaded: World) -> None:
    compare(loaded)
    statement = agreement_statements.from_json(agreement_statements.to_json(newest(loaded)))
    assert wrong_with(statement) == []
    content = statement.content()
    records = loaded.value("select sum(equal_count) from tds_comparison_reports")
    assert (content["agreement"], content["equal_count"], content["record_count"]) == ("equal", records, records)
    assert content["difference_count"] == 0
    assert content["entities"]["product"]["root_here"] == content["entities"]["product"]["root_there"]
    assert content["since_last"] is None


def test_statements_are_a_chain_and_say_what_changed_since_the_last(ground: Ground) -> None:
    compare(ground.world)
    first = newest(ground.world)
    record_id = ground.take("items")
    ground.standin.edit("items", record_id, rate=77.75)
    ground.world.enqueue("product", record_id)
    ground.world.drain("product", make_due=True)
    compare(ground.world)
    second = newest(ground.world)
    assert (second.number, second.previous) == (2, first.digest)
    since = second.content()["since_last"]
    assert (since["number"], since["changes"]["product"]) == (1, {"updated": 1})
    roots = [each.content()["entities"]["product"]["root_there"] for each in (first, second)]
    assert roots[0] != roots[1]


def test_what_differs_is_stated_too(ground: Ground) -> None:
    [(_, record_id, _)] = FAULTS["price_changed_here"](ground)
    compare(ground.world)
    content = newest(ground.world).content()
    assert (content["agreement"], content["difference_count"]) == ("differs", 1)
    assert content["entities"]["product"]["root_here"] != content["entities"]["product"]["root_there"]
    differences = content["entities"]["product"]["differences"]
    assert differences["records"] == [{"id": record_id, "kind": "different", "fields": ["price"]}]
    assert differences["kinds"] == {"different": 1, "missing_here": 0, "missing_there": 0}
    assert content["entities"]["vendor"]["differences"]["records"] == []
    assert wrong_with(newest(ground.world)) == []


def test_of_many_differences_a_statement_has_their_digest(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stated_differences, "MOST_NAMED", 2)
    for fault in ("price_changed_here", "product_created_there", "product_deleted_there"):
        list(FAULTS[fault](ground))
    compare(ground.world, "product")
    part = newest(ground.world).content()["entities"]["product"]
    assert part["differences"]["kinds"] == dict.fromkeys(("different", "missing_here", "missing_there"), 1)
    assert (part["difference_count"], "records" in part["differences"]) == (3, False)
    confirmed = ground.world.rows("select source_id as id, kind, fields from tds_comparison_differences order by 1")
    records = [{**row, "fields": sorted(row["fields"])} for row in confirmed]
    assert stated_differences.stated(records)["digest"] == part["differences"]["digest"]  # type: ignore[arg-type]
    assert wrong_with(newest(ground.world)) == []


def resigned(statement: SignedStatement, content: dict[str, Any]) -> SignedStatement:
    """A statement of another body, signed as the first was."""
    key = derive(settings().secret_key)
    return agreement_statements._sign(key, number=statement.number, body=msgspec.json.encode(content).decode(),
                            previous=statement.previous, made_at=statement.made_at)  # fmt: skip


def test_statements_of_the_first_format_named_no_records_and_still_verify(loaded: World) -> None:
    compare(loaded, "vendor")
    statement = newest(loaded)
    content = {**statement.content(), "format": 1}
    del content["entities"]["vendor"]["differences"]
    assert wrong_with(resigned(statement, content)) == []
    assert wrong_with(resigned(statement, {**content, "format": 2}))[0].startswith(
        "its body is not that of a statement"
    )
    unknown = "its format is 3, and this version of TDS knows 1 and 2"
    assert wrong_with(resigned(statement, {**content, "format": 3})) == [unknown]


def test_a_statement_that_was_changed_is_found_out(loaded: World) -> None:
    compare(loaded, "product", "vendor")
    statement = newest(loaded)
    content = statement.content()
    content["entities"]["product"]["buckets"][0] = [7, "0" * 32]
    forged = dataclasses.replace(statement, body=msgspec.json.encode(content).decode())
    assert wrong_with(forged)[0] == "the signature is not of this text"
    assert "product: its buckets do not come to its root" in wrong_with(forged)
    assert wrong_with(dataclasses.replace(statement, previous="11" * 32)) == ["the signature is not of this text"]
    with pytest.raises(StatementError, match="not known here: set TDS_SECRET_KEY"):
        agreement_statements.verify(statement, {})
    with pytest.raises(StatementError, match="This is no statement"):
        agreement_statements.from_json(b'{"number": 1}')


def test_the_database_refuses_edits_of_statements(loaded: World) -> None:
    compare(loaded, "vendor")
    for statement in ("update tds_statements set body = '{}'", "delete from tds_statements"):
        with pytest.raises(DBAPIError, match=REFUSED_CHANGE):
            loaded.execute(statement)


def test_nothing_is_stated_before_anything_was_compared(world: World) -> None:
    with session_scope(world.engine) as session, pytest.raises(NotFoundError, match="tds compare"):
        agreement_statements.read(session)
