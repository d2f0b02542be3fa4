"""Seals promise: whatever is edited, deleted or inserted in the history is found and named, and nothing else is."""

import random
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tds_core.audit_trail import retention, seal_keys, verify
from tds_core.audit_trail import seal as audit_seal
from tds_core.audit_trail.row_digests import SEALED_TABLES
from tds_core.audit_trail.tamper_report import VerificationReport
from tds_core.crypto import Vault
from tds_models.db import session_scope
from tests.support.database_role import REFUSED_CHANGE, superuser

SECRET = Fernet.generate_key().decode()
KEY = seal_keys.derive(SECRET)
AUDIT = "tds_audit_trail"


class Trail:
    """The history of a database, as TDS and as somebody with all rights over it would write it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def write(self, count: int, *, entity: str = "product") -> None:
        self.run(WRITE, count=count, entity=entity)

    def run(self, statement: str, **given: Any) -> None:
        with session_scope(self.engine) as session:
            session.execute(text(statement), given)

    def tamper(self, *statements: str, **given: Any) -> None:
        with superuser(self.engine) as session:
            for statement in ("set local session_replication_role = replica", *statements):
                session.execute(text(statement), given)

    def value(self, statement: str, **given: Any) -> Any:
        with session_scope(self.engine) as session:
            return session.execute(text(statement), given).scalar()

    def seal(self, key: seal_keys.SealKey = KEY) -> audit_seal.Sealed:
        with session_scope(self.engine) as session:
            return audit_seal.seal(session, key)

    def prove(self, given: Mapping[bytes, bytes] | None = None, **more: Any) -> VerificationReport:
        with session_scope(self.engine) as session:
            return verify.verify_history(session, given or {KEY.id: KEY.secret}, **more)

    def breaks(self, **more: Any) -> list[tuple[str, int]]:
        return [(each.kind.value, each.id) for each in self.prove(**more).breaks]


WRITE = """
insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, origin_id, correlation_id,
                             source_modified_at)
select 'zoho', :entity, n::text, 1, 'created', jsonb_build_object('price', jsonb_build_array(null, (n + 0.10)::text)),
       'webhook', n, 'c' || n, '2026-11-01 12:00:00.123456+00' from generate_series(1, :count) n
"""


@pytest.fixture
def trail(engine: Engine) -> Trail:
    return Trail(engine)


@pytest.fixture
def small_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_seal, "ROWS_OF_A_SEAL", 5)


def test_an_untouched_history_is_proven(trail: Trail, small_seals: None) -> None:
    trail.write(12)
    assert trail.seal().row_count == 12
    proof = trail.prove()
    assert (proof.seal_count, proof.row_count, proof.break_count) == (3, 12, 0)
    assert {each.trail: each.row_count for each in proof.unsealed} == dict.fromkeys(SEALED_TABLES, 0)


def test_what_is_not_sealed_yet_is_counted(trail: Trail) -> None:
    trail.write(3)
    trail.seal()
    trail.write(2, entity="invoice")
    proof = trail.prove()
    assert (proof.break_count, proof.unsealed[0].row_count) == (0, 2)
    assert proof.unsealed[0].oldest_at is not None


def test_sealing_again_adds_nothing(trail: Trail) -> None:
    trail.write(3)
    trail.seal()
    assert trail.seal().seals == ()
    assert trail.prove().seal_count == 1


def test_one_round_seals_no_more_than_it_may(trail: Trail, small_seals: None) -> None:
    trail.write(5 * audit_seal.SEALS_AT_ONCE + 1)
    first = trail.seal()
    assert (first.row_count, first.more) == (5 * audit_seal.SEALS_AT_ONCE, True)
    second = trail.seal()
    assert (second.row_count, second.more) == (1, False)


def test_a_row_that_commits_behind_others_is_waited_for(trail: Trail) -> None:
    with Session(trail.engine) as slow:
        slow.execute(text(WRITE), {"count": 1, "entity": "bill"})
        trail.write(2)
        assert (trail.seal().row_count, trail.seal().waits) == (0, True)
        slow.commit()
    assert trail.seal().row_count == 3
    assert trail.breaks() == []


def test_writers_that_follow_one_another_do_not_put_sealing_off_for_ever(trail: Trail) -> None:
    """There is a writer at every moment, but none that was there the time before."""
    sealed = []
    with Session(trail.engine) as before:
        before.execute(text(WRITE), {"count": 1, "entity": "one"})
        sealed.append(trail.seal().row_count)
        for name in ("two", "three"):
            with Session(trail.engine) as after:
                after.execute(text(WRITE), {"count": 1, "entity": name})
                before.commit()
                sealed.append(trail.seal().row_count)
                after.commit()
    sealed.append(trail.seal().row_count)
    assert sum(sealed) == 3
    assert sealed[1] == 1
    assert trail.breaks() == []


def test_whatever_writers_and_sealers_do_at_once_nothing_is_left_out(trail: Trail) -> None:
    """Three writers whose transactions overlap, some undone, and two that seal all the time."""
    jitter, done = random.Random(7), threading.Event()

    def write(name: str) -> int:
        written = 0
        for turn in range(25):
            with Session(trail.engine) as session:
                for part in range(3):
                    session.execute(text(WRITE), {"count": 2, "entity": f"{name}-{turn}-{part}"})
                if jitter.random() < 0.7:
                    session.commit()
                    written += 6
        return written

    def seal() -> int:
        count = 0
        while not done.is_set():
            count += trail.seal().row_count
        return count

    with ThreadPoolExecutor(5) as pool:
        sealers = [pool.submit(seal) for _ in range(2)]
        written = sum(each.result() for each in [pool.submit(write, name) for name in "abc"])
        done.set()
        sealed = sum(each.result() for each in sealers)
    assert sealed + trail.seal().row_count + trail.seal().row_count == written
    assert trail.breaks() == []


def test_an_id_nobody_used_is_no_deletion(trail: Trail) -> None:
    with Session(trail.engine) as undone:
        undone.execute(text(WRITE), {"count": 2, "entity": "undone"})
        undone.rollback()
    trail.write(2)
    trail.seal()
    assert trail.breaks() == []


@pytest.fixture
def sealed(trail: Trail, small_seals: None) -> Trail:
    """Twelve changes in three seals, and what operators did in two more."""
    trail.write(12)
    trail.run("""
        insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts,
            priority, correlation_id) values ('zoho', 'product', '1', 'x', 'y', 'z', 1, 5, 'c')""")
    trail.run("""
        insert into tds_dead_letter_actions (letter_id, operator, action, detail)
        select id, 'ann', 'assigned', '{"to": "bob"}' from tds_dead_letter_queue cross join generate_series(1, 3)""")
    trail.run("""
        insert into tds_operator_actions (caller, caller_kind, operation, subject, outcome, correlation_id)
        select 'ann', 'operator', 'runs.approve', '/runs/' || n, 'done', 'c' from generate_series(1, 2) n""")
    trail.seal()
    assert trail.breaks() == []
    return trail


@pytest.mark.parametrize(("statement", "broken"), [
    ("update tds_audit_trail set changes = '{}' where id = 7", [("row_edited", 7)]),
    ("delete from tds_audit_trail where id in (1, 12)", [("row_deleted", 1), ("row_deleted", 12)]),
    ("update tds_dead_letter_actions set operator = 'eve' where id = 2", [("row_edited", 2)]),
    ("update tds_audit_seals set row_count = row_count + 1 where number = 2", [("seal_edited", 2)]),
    ("update tds_audit_seals set digests = digests || '\\x00' where number = 1", [("seal_edited", 1)]),
    ("delete from tds_audit_seals where number = 2", [("seal_missing", 2)]),
    ("delete from tds_audit_seals where number = 1", [("seal_missing", 1)]),
    ("update tds_operator_actions set caller = 'bob' where id = 1", [("row_edited", 1)]),
    ("delete from tds_audit_seals where number = 5", [("seal_missing", 5)]),
    ("update tds_audit_head set number = 4", [("seal_added", 5)]),
    ("update tds_audit_head set digest = '\\x00'", [("chain_broken", 5)]),
])  # fmt: skip
def test_every_way_to_change_history_is_found_and_named(
    sealed: Trail, statement: str, broken: list[tuple[str, int]]
) -> None:
    sealed.tamper(statement)
    assert sealed.breaks() == broken


def test_a_row_put_where_none_was_is_named(sealed: Trail) -> None:
    sealed.tamper("delete from tds_audit_trail where id = 3")
    sealed.tamper("delete from tds_audit_seals", "update tds_audit_head set number = 0, digest = :begin",
                  begin=bytes(32))  # fmt: skip
    sealed.seal()
    copied = ", ".join(name for name in SEALED_TABLES[AUDIT].columns if name != "id")
    sealed.tamper(f"""
        insert into tds_audit_trail (id, {copied}) overriding system value
        select 3, {copied.replace("source_id", "'3'", 1)} from tds_audit_trail where id = 4""")
    [found] = sealed.prove().breaks
    assert (found.kind, found.id) == ("row_inserted", 3)
    assert found.says.startswith("row 3 of tds_audit_trail (entity product, source_id 3, version 1) was inserted")


def test_seals_that_change_places_are_found(sealed: Trail) -> None:
    sealed.tamper(
        "update tds_audit_seals set number = -number where number in (1, 2)",
        "update tds_audit_seals set number = 3 + number where number < 0",
    )
    assert {("seal_edited", 1), ("seal_edited", 2)} <= set(sealed.breaks())


def test_without_the_key_no_seal_can_be_made(sealed: Trail) -> None:
    """Somebody who may write every table edits a row, and makes all seals anew with a key of their own."""
    forged = seal_keys.derive(Fernet.generate_key().decode())
    begin = bytes(32)
    sealed.tamper("update tds_audit_trail set changes = '{}' where id = 7", "delete from tds_audit_seals",
                  "update tds_audit_head set number = 0, digest = :begin", begin=begin)  # fmt: skip
    sealed.seal(forged)
    assert {kind for kind, _ in sealed.breaks()} == {"key_unknown"}
    sealed.tamper("update tds_audit_seals set key_id = :key", key=KEY.id)
    assert {kind for kind, _ in sealed.breaks()} == {"seal_edited"}


SMALLEST = {
    "text": "coalesce({column}, '') || 'x'",
    "integer": "coalesce({column}, 0) + 1",
    "bigint": "coalesce({column}, 0) + 1",
    "ARRAY": "coalesce({column}, '{{}}') || array['']",
    "jsonb": "jsonb_set({column}, '{{x}}', '1')",
    "double precision": "coalesce({column}, 0) + 1",
    "timestamp with time zone": "{column} + interval '1 microsecond'",
}
COLUMNS = "select column_name, data_type from information_schema.columns where table_name = :table"


TRANSITION = """
insert into tds_alert_transitions
    (alert_id, rule, subject, episode, from_state, to_state, severity, value, changed_by, at)
values (1, 'backlog', '', 1, 'pending', 'firing', 'warning', 1001, 'tds', now())
"""


@pytest.mark.parametrize("name", SEALED_TABLES)
def test_the_smallest_change_of_any_column_is_found(sealed: Trail, name: str) -> None:
    sealed.run(TRANSITION)
    sealed.seal()
    with session_scope(sealed.engine) as session:
        columns = {row.column_name: row.data_type for row in session.execute(text(COLUMNS), {"table": name})}
    assert set(columns) == set(SEALED_TABLES[name].columns)
    sealed.tamper(f"create table kept as select * from {name}")
    sealed.tamper(f"alter table {name} alter id set generated by default")  # or its ids refuse to change
    row_id = sealed.value(f"select max(id) from {name}")
    for column, kind in columns.items():
        changed = "id + 1000" if column == "id" else SMALLEST[kind].format(column=column)
        sealed.tamper(f"update {name} set {column} = {changed} where id = :id", id=row_id)
        assert sealed.breaks() == [("row_deleted" if column == "id" else "row_edited", row_id)], column
        restored = "id - 1000" if column == "id" else f"(select {column} from kept where kept.id = {name}.id)"
        sealed.tamper(f"update {name} set {column} = {restored} where id = (select max(id) from {name})")
    assert sealed.breaks() == []


def test_null_is_distinguished_from_every_value_that_looks_like_it(sealed: Trail) -> None:
    for value in ("''", "'null'", "'NULL'"):
        sealed.tamper(f"update tds_audit_trail set correlation_id = {value} where id = 2")
        assert sealed.breaks() == [("row_edited", 2)]
    sealed.tamper("update tds_audit_trail set correlation_id = 'c2', origin_id = null where id = 2")
    assert sealed.breaks() == [("row_edited", 2)]
    sealed.tamper("update tds_audit_trail set origin_id = 2 where id = 2")
    assert sealed.breaks() == []


def test_flipping_any_byte_of_any_text_is_found(sealed: Trail) -> None:
    """Random bytes of random rows, each of them found and only that."""
    jitter = random.Random(20261122)
    names = ("source", "entity", "source_id", "operation", "origin", "correlation_id", "changes::text")
    sealed.tamper("drop index uq_tds_audit_trail_version")  # or it would refuse some of them
    for _ in range(40):
        name, row_id = jitter.choice(names), jitter.randint(1, 12)
        whole = sealed.value(f"select {name} from tds_audit_trail where id = :id", id=row_id)
        inside = [place for place, letter in enumerate(whole) if letter.isalnum()]
        place = jitter.choice(inside)
        other = jitter.choice([letter for letter in "123456789" if letter != whole[place]])
        column, kind = (name.partition("::")[0], "jsonb" if "::" in name else "text")
        change = f"update tds_audit_trail set {column} = cast(:value as {kind}) where id = :id"
        try:
            sealed.tamper(change, value=whole[:place] + other + whole[place + 1 :], id=row_id)
        except Exception as refused:  # not every byte of JSON can be another
            assert "invalid input syntax for type json" in str(refused)
            continue
        assert sealed.breaks() == [("row_edited", row_id)], (name, place, other)
        sealed.tamper(change, value=whole, id=row_id)
    assert sealed.breaks() == []


def test_how_a_role_likes_its_times_spelled_changes_nothing(sealed: Trail, database: str) -> None:
    with sealed.engine.connect() as connection:
        connection.execute(text("set timezone = 'Asia/Baghdad'; set datestyle = 'German'; set extra_float_digits = 0"))
        connection.commit()
        with Session(connection) as session:
            assert verify.verify_history(session, {KEY.id: KEY.secret}).break_count == 0


def test_many_breaks_are_counted_and_some_of_them_listed(sealed: Trail) -> None:
    sealed.tamper("update tds_audit_trail set origin = 'nobody'")
    proof = sealed.prove(most=3)
    assert (proof.break_count, len(proof.breaks)) == (12, 3)


def test_rows_sealed_before_a_moment_can_be_left_out(sealed: Trail) -> None:
    sealed.tamper("update tds_audit_trail set origin = 'nobody' where id = 2")
    now = sealed.value("select clock_timestamp()")
    assert sealed.breaks(since=now) == []
    assert sealed.breaks(since=datetime(2020, 1, 1, tzinfo=UTC)) == [("row_edited", 2)]


def test_seals_refuse_to_be_edited(sealed: Trail) -> None:
    for statement in (
        "update tds_audit_seals set row_count = 0", "delete from tds_audit_seals", "truncate tds_audit_seals",
    ):  # fmt: skip
        with pytest.raises(DBAPIError, match=REFUSED_CHANGE):
            sealed.run(statement)


def test_old_seals_outlive_the_key_they_were_made_with(sealed: Trail) -> None:
    newer = Fernet.generate_key().decode()
    with session_scope(sealed.engine) as session:
        seal_keys.store(session, KEY, Vault(SECRET))
        assert seal_keys.reencrypt(session, Vault(newer, SECRET)) == 1
    sealed.write(1, entity="later")
    sealed.seal(seal_keys.derive(newer))
    with session_scope(sealed.engine) as session:
        known = seal_keys.known_keys(session, Vault(newer), [newer])
    assert sealed.prove(known).break_count == 0
    assert sealed.prove(known).seal_count == 6


class TestRetiring:
    @pytest.fixture
    def aged(self, sealed: Trail) -> Trail:
        """The first two seals of changes are older than a month, as are none of the others."""
        with superuser(sealed.engine) as session:
            for number in (1, 2):
                self.age(session, number)
        return sealed

    def age(self, session: Session, number: int) -> None:
        """Let a seal have been made forty days ago, with all that follows it."""
        session.execute(text("set local session_replication_role = replica"))
        session.execute(text("update tds_audit_seals set sealed_at = sealed_at - interval '40 days'"
                             " where number = :number"), {"number": number})  # fmt: skip
        self.relink(session)

    def relink(self, session: Session) -> None:
        previous = verify.BEGINNING
        for number in verify.chain.seal_numbers(session):
            seal = verify.chain.read_seal(session, number)
            params = {field: getattr(seal, field) for field in verify.Seal.__slots__}
            seal = verify.Seal(**{**params, "previous": previous})
            digest = seal.digest_with(KEY.secret)
            session.execute(text("update tds_audit_seals set previous = :previous, digest = :digest where number = :n"),
                            {"previous": previous, "digest": digest, "n": number})  # fmt: skip
            previous = digest
        session.execute(text("update tds_audit_head set digest = :digest"), {"digest": previous})

    def retire(self, trail: Trail, days: int = 30) -> Any:
        with session_scope(trail.engine) as session:
            return retention.retire(session, KEY, SEALED_TABLES[AUDIT], days=days)

    def test_what_is_old_goes_and_the_rest_is_still_proven(self, aged: Trail) -> None:
        seal = self.retire(aged)
        assert (seal.kind, seal.first_id, seal.last_id, seal.row_count, seal.begins_at) == ("retired", 1, 10, 10, 3)
        assert aged.value("select min(id) from tds_audit_trail") == 11
        proof = aged.prove()
        assert (proof.break_count, proof.retired, proof.row_count) == (0, {AUDIT: 10}, 7)
        assert self.retire(aged) is None

    def test_the_same_done_by_hand_is_a_deletion(self, aged: Trail) -> None:
        aged.tamper("delete from tds_audit_trail where id <= 10")
        assert aged.breaks() == [("row_deleted", number) for number in range(1, 11)]

    def test_what_is_put_in_place_of_retired_rows_is_found(self, aged: Trail) -> None:
        self.retire(aged)
        copied = ", ".join(name for name in SEALED_TABLES[AUDIT].columns if name not in ("id", "version"))
        aged.tamper(f"""
            insert into tds_audit_trail (id, version, {copied}) overriding system value
            select 3, 9, {copied} from tds_audit_trail where id = 11""")
        assert aged.breaks() == [("row_inserted", 3)]

    def test_more_than_was_retired_cannot_go_with_it(self, aged: Trail) -> None:
        self.retire(aged)
        aged.tamper("delete from tds_audit_trail where id = 11")
        assert aged.breaks() == [("row_deleted", 11)]
        aged.tamper("delete from tds_audit_seals where number = 3")
        assert ("seal_missing", 3) in aged.breaks()

    def test_sealing_goes_on_behind_what_was_retired(self, aged: Trail) -> None:
        self.retire(aged, days=30)
        aged.write(3, entity="later")
        assert aged.seal().row_count == 3
        assert aged.breaks() == []

    def test_nothing_goes_that_was_not_sealed(self, trail: Trail) -> None:
        trail.write(3)
        assert self.retire(trail, days=0) is None
        assert trail.value("select count(*) from tds_audit_trail") == 3
