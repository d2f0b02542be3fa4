"""A person is erased from rows, history, events and logs: nothing of them is found, and the chain of seals holds."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from tds_core.audit_trail import restart_after_key_loss, retention, seal_keys
from tds_core.audit_trail.row_digests import SEALED_TABLES
from tds_core.erasure import bodies, places
from tds_core.erasure import erase as erasing
from tds_core.erasure.erase import ErasureReport, PersonExistsError
from tds_core.erasure.person import InvalidPersonError, PersonKey, find_by_email
from tds_core.erasure.scrub import MARK
from tds_core.errors import NotFoundError
from tds_core.invariants.history_checks import checks_of
from tds_models.base import Base
from tds_models.db import make_engine, session_scope
from tds_models.entities import ENTITIES
from tds_models.partitions import is_partition
from tests.integration.audit_trail.test_rolling_verification import whole_round
from tests.integration.audit_trail.test_seal import KEY, Trail
from tests.support.database_role import (
    REFUSED_CHANGE,
    give_roles,
    retire_at_any_age,
    superuser,
    superuser_url,
    with_role,
)
from tests.support.world import ScriptedSource, World, at, delivery, invoice

ID = "460000000300001"
ANN = PersonKey("customer", ID)
#: What must be found nowhere afterwards, in lower case.
WORDS = ("salwa", "al-bayati", "salwa.b@example.iq", "7701234567", "haifa street 9", "سلوى")


def customer(*, second: int = 0, **more: Any) -> dict[str, Any]:
    """A whole contact as Zoho writes it."""
    address = {"attention": "Salwa Al-Bayati", "address": "Haifa Street 9", "city": "Baghdad", "country": "Iraq"}
    whole = {
        "contact_id": ID, "contact_name": "Salwa Al-Bayati", "company_name": "Salwa Trading",
        "contact_type": "customer", "status": "active", "first_name": "Salwa", "last_name": "Al-Bayati",
        "email": "salwa.b@example.iq",
        "phone": "+964 7701234567", "mobile": "+964 7701234567", "payment_terms": 30, "currency_code": "IQD",
        "billing_address": address, "notes": "ask for سلوى", "cf_nickname": "سلوى",
        "contact_persons": [{"contact_person_id": "1", "first_name": "سلوى", "email": "salwa.b@example.iq"}],
        "outstanding_receivable_amount": 12.50, "last_modified_time": at(second).isoformat(),
    }  # fmt: skip
    return {**whole, **more}


def her_invoice(**more: Any) -> dict[str, Any]:
    address = {"attention": "Salwa Al-Bayati", "address": "Haifa Street 9"}
    whole = invoice(customer_id=ID, customer_name="Salwa Al-Bayati", email="salwa.b@example.iq",
                    billing_address=address, notes="For Salwa Al-Bayati, call 7701234567.", **more)  # fmt: skip
    whole["line_items"][0]["description"] = "Engraved: Salwa"
    return whole


FREE_TEXT = frozenset({"detail", "error", "explanation", "last_error", "note", "path", "reason", "subject", "summary",
                       "verdict_reason"})  # fmt: skip
# Keys, digests, settings, schedules and counts, and words that only operators write about TDS itself.
WITHOUT_PERSONS: frozenset[str] = frozenset({
    "tds_alert_channels", "tds_alert_rules", "tds_api_keys", "tds_audit_head", "tds_audit_seal_keys",
    "tds_audit_seals", "tds_backfill_rests", "tds_backups", "tds_comparison_reports", "tds_configuration",
    "tds_consents", "tds_cutover_days", "tds_cutover_differences", "tds_cutover_promotions",
    "tds_healing_cycles", "tds_inbox_fingerprints", "tds_metrics", "tds_missing_permissions",
    "tds_operator_sessions", "tds_pulses", "tds_queue_pauses", "tds_record_proofs", "tds_replayed_events",
    "tds_restores", "tds_schedule_slots", "tds_scheduled_jobs", "tds_source_tokens", "tds_statements",
    "tds_statistics_history", "tds_subscriptions", "tds_sync_run_pages", "tds_unstored_webhooks",
    "tds_uptime_samples", "tds_webhook_coverage_position", "tds_webhook_gaps",
})  # fmt: skip


@pytest.fixture
def trail(engine: Engine) -> Trail:
    return Trail(engine)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def known(world: World, trail: Trail) -> World:
    """A world that has had Salwa in every place where a person may stand, half of her history sealed."""
    world.deliver(delivery("customer", customer()), delivery("invoice", her_invoice()))
    world.drain("customer")
    world.drain("invoice")
    trail.seal()
    renamed = customer(second=60, contact_name="Salwa B. Al-Bayati", phone="+964 7701234567 (home)")
    world.deliver(delivery("customer", renamed, event="edited"))
    world.drain("customer")
    world.deliver(delivery("customer", customer(second=90), complete=False))  # still pending
    plant(world)
    return world


def plant(world: World) -> None:
    """Put her values where faults and people leave them."""
    record = f'{{"contact_id": "{ID}", "email": "salwa.b@example.iq", "contact_name": "Salwa Al-Bayati"}}'
    for statement in (
        "insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts,"
        " priority, record, correlation_id) values ('zoho', 'customer', :id, 'X', 'no such phone +964 7701234567', 'f',"
        " 3, 5, cast(:record as jsonb), 'c')",
        "insert into tds_rejected_deliveries (reason, detail, status, path, entity, source_id, headers, body_start,"
        " body_size, correlation_id) values ('unproven', 'x', 401, '/w', null, null, '{}',"
        " convert_to(:record, 'UTF8'), 90, 'c')",
        "insert into tds_inbox_events (source, raw, correlation_id, verdict) values ('zoho', convert_to('{broken '"
        " || :record, 'UTF8'), 'c', 'quarantined')",
        "insert into tds_findings (kind, severity, source, entity, subject, detail) values ('duplicate', 'warning',"
        " 'zoho', 'customer', 'name', '{\"value\": \"Salwa Al-Bayati\"}')",
        "insert into tds_sync_logs (source, entity, source_id, generation, attempt, outcome, error, correlation_id)"
        " values ('zoho', 'customer', :id, 1, 1, 'retry', 'cannot read salwa.b@example.iq', 'c')",
        "insert into tds_kept_answers (caller, key, request_digest, status, body, expires_at) values ('key:1', 'k', '',"
        " 200, convert_to(:record, 'UTF8'), now() + interval '1 day')",
        "insert into tds_operator_actions (caller, caller_kind, operation, subject, detail, outcome, correlation_id)"
        " values ('ann', 'operator', 'x', 'Salwa Al-Bayati', '{\"q\": \"salwa\"}', 'done', 'c')",
        "insert into tds_alert_transitions (alert_id, rule, subject, episode, from_state, to_state, severity,"
        " changed_by, reason, at) values (1, 'r', '', 1, 'ok', 'firing', 'warning', 'ann', 'mail of Salwa Al-Bayati',"
        " now())",
        "insert into tds_comparisons (source, requested_by, correlation_id, seed) values ('zoho', 'ann', 'c', 1)",
        "insert into tds_comparison_differences (comparison_id, entity, source_id, kind, fields) select id, 'customer',"
        " :id, 'different', '[{\"field\": \"email\", \"here\": \"salwa.b@example.iq\", \"there\": null}]'"
        " from tds_comparisons",
    ):  # fmt: skip
        given = {name: value for name, value in (("id", ID), ("record", record)) if f":{name}" in statement}
        world.execute(statement, **given)


def places_of(world: World, words: tuple[str, ...] = WORDS) -> set[str]:
    """Every column of every table in which one of the words stands, whatever its type; bytes as text."""
    columns = world.rows(
        "select table_schema as schema, table_name as table, column_name as column, data_type as type"
        " from information_schema.columns join information_schema.tables using (table_schema, table_name)"
        " where table_schema in ('public', 'erp') and table_type = 'BASE TABLE'"
        " and data_type in ('text', 'jsonb', 'json', 'bytea', 'ARRAY', 'character varying')"
    )
    found = set()
    with superuser(world.engine) as session:
        for each in columns:
            if is_partition(each["table"]):
                continue  # the table it is a part of is looked at
            for word in words:
                condition = f'lower(cast("{each["column"]}" as text)) like :word'
                if each["type"] == "bytea":
                    condition = f"position(convert_to(:word, 'UTF8') in \"{each['column']}\") > 0"
                count = session.execute(
                    text(f'select count(*) from {each["schema"]}."{each["table"]}" where {condition}'),
                    {"word": word if each["type"] == "bytea" else f"%{word}%"},
                ).scalar()
                if count:
                    found.add(f"{each['table']}.{each['column']}")
    return found


def erase(world: World, logs: Path, key: PersonKey = ANN, **more: Any) -> ErasureReport:
    asked = {"reason": "asked on 3 November", "by": "ann", "source": None, **more}
    return erasing.erase(partial(session_scope, world.engine), key, seal_key=lambda _: KEY, logs=logs, **asked)


def test_everything_she_stands_in_is_shown_and_nothing_is_written(known: World, logs: Path) -> None:
    before = places_of(known)
    assert len(before) >= 20, before
    with session_scope(known.engine) as session:
        shown = erasing.preview(session, ANN, logs=logs)
    assert places_of(known) == before
    tables = {each.table.removeprefix("erp.") for each in shown.places}
    assert {each.split(".")[0] for each in before} == tables
    assert (shown.document_count, shown.note_number) == (1, None)
    [own] = [each for each in shown.places if each.table == "erp.customer"]
    assert (own.row_count, own.ids) == (1, [ID])


def test_nothing_of_her_is_found_anywhere_afterwards(known: World, logs: Path) -> None:
    assert places_of(known)
    erased = erase(known, logs)
    assert places_of(known) == set()
    row = known.row("customer", ID)
    assert (row["name"], row["email"], row["payment_terms"], str(row["outstanding"])) == (MARK, MARK, 30, "12.5")
    assert row["source_record"]["contact_id"] == ID
    bill = known.row("invoice", "460000000900001")
    assert (bill["customer_name"], bill["customer_id"], str(bill["total"])) == (MARK, ID, "30")
    assert erased.row_count > 10
    assert known.value("select count(*) from tds_inbox_events where source_id = :id", id=ID) == 3, "ids and times stay"
    assert known.value("select count(*) from tds_inbox_events where source_id = :id and complete", id=ID) == 0


def test_rows_are_still_what_their_history_comes_to(known: World, logs: Path) -> None:
    erase(known, logs)
    for name in ("customer", "invoice"):
        for check in checks_of(ENTITIES[name]):
            assert known.rows(check.broken) == [], check.name


def test_the_chain_holds_and_says_that_something_was_erased(known: World, trail: Trail, logs: Path) -> None:
    erased = erase(known, logs)
    trail.seal()
    report = trail.prove()
    assert report.breaks == []
    assert report.erased_row_count == 2, "the two that were sealed before: a customer and an invoice"
    assert [each.number for each in report.erasures] == [erased.note_number]
    assert '"by":"ann","reason":"asked on 3 November"' in report.erasures[0].note
    assert not any(word in report.erasures[0].note.lower() for word in WORDS)
    assert whole_round(trail).last.count == 0


@pytest.mark.parametrize(("statement", "kind"), [
    ("update tds_audit_trail set operation = 'x' where id = :row", "row_edited"),
    ("update tds_audit_trail set changes = '{}' where id = :row", "row_edited"),
    ("delete from tds_audit_trail where id = :row", "row_deleted"),
])  # fmt: skip
def test_a_row_that_was_erased_is_protected_as_it_stands_now(
    known: World, trail: Trail, logs: Path, statement: str, kind: str
) -> None:
    erase(known, logs)
    row = known.value("select min(id) from tds_audit_trail")
    trail.tamper(statement, row=row)
    assert trail.breaks() == [(kind, row)]
    assert whole_round(trail).last.count == 1


def test_what_is_changed_without_a_note_shows(known: World, trail: Trail) -> None:
    row = known.value("select min(id) from tds_audit_trail")
    trail.tamper('update tds_audit_trail set changes = \'{"email": [null, "(erased)"]}\' where id = :row', row=row)
    assert trail.breaks() == [("row_edited", row)]


def test_a_note_that_was_not_made_with_the_key_is_none(known: World, trail: Trail, logs: Path) -> None:
    forger = seal_keys.SealKey(KEY.id, b"guessed")
    erasing.erase(partial(session_scope, known.engine), ANN, seal_key=lambda _: forger, reason="mine", by="mallory",
                  logs=logs, source=None)  # fmt: skip
    assert {kind for kind, _ in trail.breaks()} == {"seal_edited", "row_edited"}


def test_a_note_that_was_taken_away_or_edited_shows(known: World, trail: Trail, logs: Path) -> None:
    number = erase(known, logs).note_number
    trail.seal()
    trail.tamper("update tds_audit_seals set note = 'nothing' where number = :number", number=number)
    assert {("seal_edited", number)} < set(trail.breaks())
    trail.tamper("delete from tds_audit_seals where number = :number", number=number)
    assert {kind for kind, _ in trail.breaks()} == {"seal_missing", "row_edited"}


def test_a_row_that_has_its_old_content_again_shows(known: World, trail: Trail, logs: Path) -> None:
    old = known.one("select id, changes::text as changes from tds_audit_trail order by id limit 1")
    erase(known, logs)
    trail.tamper("update tds_audit_trail set changes = cast(:changes as jsonb) where id = :id", **old)
    assert trail.breaks() == [("row_edited", old["id"])]
    assert whole_round(trail).last.count == 1


def test_a_reason_that_names_her_is_refused(known: World, logs: Path) -> None:
    with pytest.raises(InvalidPersonError, match="may not name the person"):
        erase(known, logs, reason="Ms Al-Bayati asked")
    assert known.value("select count(*) from tds_audit_seals where kind = 'erased'") == 0


@pytest.mark.parametrize("entity", ["vendor", "user"])
def test_vendors_and_users_are_persons_too(world: World, trail: Trail, logs: Path, entity: str) -> None:
    key = "contact_id" if entity == "vendor" else "user_id"
    record = {key: ID, "name": "Salwa Al-Bayati", "email": "salwa.b@example.iq", "mobile": "7701234567"}
    record |= {"contact_name": "Salwa Al-Bayati", "contact_type": "vendor"} if entity == "vendor" else {}
    world.execute(
        f"insert into erp.{entity} (source, source_id, name, email, mobile, status, version, source_record) values"
        " ('zoho', :id, 'Salwa Al-Bayati', 'salwa.b@example.iq', '7701234567', 'active', 1, cast(:record as jsonb))",
        id=ID, record=json.dumps(record),
    )  # fmt: skip
    with session_scope(world.engine) as session:
        assert find_by_email(session, "salwa.b@example.iq") == PersonKey(entity, ID)
    erase(world, logs, PersonKey(entity, ID))
    assert places_of(world) == set()
    row = world.row(entity, ID)
    assert (row["name"], row["status"], row["source_record"][key]) == (MARK, "active", ID)
    assert trail.breaks() == []


def test_erasing_again_finds_nothing_and_names_the_same_note(known: World, trail: Trail, logs: Path) -> None:
    first = erase(known, logs)
    again = erase(known, logs)
    assert (again.row_count, again.note_number, again.value_count) == (0, first.note_number, 0)
    assert trail.breaks() == []


def test_what_comes_back_later_is_erased_from_the_same_rows_again(known: World, trail: Trail, logs: Path) -> None:
    erase(known, logs)
    trail.seal()
    known.deliver(delivery("customer", customer(second=300), event="edited"))
    known.drain("customer")
    assert places_of(known)
    trail.seal()
    second = erase(known, logs)
    assert (places_of(known), second.row_count > 0) == (set(), True)
    report = trail.prove()
    assert (report.breaks, len({each.note for each in report.erasures})) == ([], 2)


def test_seals_made_anew_and_retirement_go_on_after_it(known: World, trail: Trail, logs: Path) -> None:
    erase(known, logs)
    trail.seal()
    retire_at_any_age(trail.engine)
    with session_scope(trail.engine) as session:
        retention.retire(session, KEY, SEALED_TABLES["tds_audit_trail"], days=-1)
    assert trail.breaks() == []
    with session_scope(trail.engine) as session, pytest.raises(restart_after_key_loss.NoKeyLostError):
        restart_after_key_loss.begin_anew(session, KEY, {KEY.id: KEY.secret}, reason="for fun", by="ann")


@pytest.mark.parametrize("contents", [
    '{"name": [null, "Somebody else"]}',
    '{"name": [null, "(erased)"], "email": [null, "b@example.iq"]}',
])  # fmt: skip
def test_the_function_of_erasures_writes_nothing_but_the_mark(known: World, contents: str) -> None:
    row = known.value("select min(id) from tds_audit_trail")
    for table, column in (("tds_audit_trail", "changes"), ("tds_audit_trail", "entity"), ("tds_audit_seals", "note")):
        with session_scope(known.engine) as session, pytest.raises(DBAPIError, match="erased"):
            session.execute(text("select tds_erase_history(:table, :column, array[cast(:row as bigint)], array[:new])"),
                            {"table": table, "column": column, "row": row, "new": contents})  # fmt: skip
            session.rollback()
    with session_scope(known.engine) as session, pytest.raises(DBAPIError, match=REFUSED_CHANGE):
        session.execute(text("update tds_audit_trail set changes = '{}'"))


def test_while_zoho_has_her_nothing_is_erased(known: World, logs: Path) -> None:
    source = ScriptedSource()
    source.records[ID] = customer()
    with pytest.raises(PersonExistsError, match="--although-zoho-has-it"):
        erase(known, logs, source=lambda _: source)
    assert places_of(known)
    del source.records[ID]
    erase(known, logs, source=lambda _: source)
    assert places_of(known) == set()


def test_the_application_without_rights_over_history_erases_too(known: World, trail: Trail, logs: Path) -> None:
    url = superuser_url(known.engine.url.render_as_string(hide_password=False))
    give_roles(url)
    engine = make_engine(with_role(url))
    erasing.erase(partial(session_scope, engine), ANN, seal_key=lambda _: KEY, reason="file 12", by="ann", logs=logs,
                  source=None)  # fmt: skip
    engine.dispose()
    assert places_of(known) == set()
    assert trail.breaks() == []


def test_every_table_that_may_hold_a_person_is_searched() -> None:
    free = {table.name for table in Base.metadata.sorted_tables if any(_is_free(each) for each in table.columns)}
    searched = {each.table for each in (*places.OF_RECORDS, *places.OF_VALUES, *bodies.BODIES)}
    assert searched <= free
    assert free - searched == WITHOUT_PERSONS


def _is_free(column: Column[Any]) -> bool:
    """Whether a column holds JSON, bytes, or words that programs or people choose."""
    return isinstance(column.type, JSONB | LargeBinary) or column.name in FREE_TEXT


def test_others_keep_what_they_have(known: World, logs: Path) -> None:
    other = customer(contact_id="460000000300002", contact_name="Omar Rashid", company_name="Rashid", first_name="Omar",
                     last_name="Rashid", email="omar@example.iq", phone="+964 7800000000", mobile="", notes="",
                     cf_nickname="", contact_persons=[], billing_address={"city": "Baghdad"})  # fmt: skip
    known.deliver(delivery("customer", other))
    known.drain("customer")
    before = known.row("customer", "460000000300002"), known.audit("customer", "460000000300002")
    erase(known, logs)
    assert (known.row("customer", "460000000300002"), known.audit("customer", "460000000300002")) == before


def test_log_files_lose_her_and_keep_their_length(known: World, logs: Path) -> None:
    line = '{"event": "x", "name": "Salwa Al-Bayati", "nick": "\\u0633\\u0644\\u0648\\u0649", "other": "Salwary"}\n'
    for name in ("api.log", "worker.log.1"):
        (logs / name).write_text(line * 3)
    (logs / "notes.txt").write_text("Salwa")
    erased = erase(known, logs)
    assert erased.log_files == {"api.log": 6, "worker.log.1": 6}
    left = (logs / "api.log").read_text()
    assert len(left) == len(line) * 3
    assert ("Salwary" in left, "Bayati" in left, "u0633" in left) == (True, False, False)


def test_she_is_found_by_her_address(known: World) -> None:
    with session_scope(known.engine) as session:
        assert find_by_email(session, "Salwa.B@example.iq") == ANN
        assert find_by_email(session, "salwa.b@example.iq", "customer") == ANN
        with pytest.raises(NotFoundError):
            find_by_email(session, "salwa_b@example.iq")
        with pytest.raises(InvalidPersonError, match="A person is one of"):
            find_by_email(session, "salwa.b@example.iq", "invoice")
    known.deliver(delivery("customer", customer(contact_id="460000000300002")))
    known.drain("customer")
    with session_scope(known.engine) as session, pytest.raises(InvalidPersonError, match="More than one"):
        find_by_email(session, "salwa.b@example.iq")


def test_who_is_not_known_is_not_erased(world: World, logs: Path) -> None:
    with pytest.raises(NotFoundError):
        erase(world, logs, PersonKey("customer", "404"))
    with pytest.raises(InvalidPersonError, match="A person is one of"):
        erase(world, logs, PersonKey("product", "404"))


def test_a_contact_person_leads_to_the_contact(known: World) -> None:
    known.execute("update erp.customer set email = 'office@example.iq'")
    with session_scope(known.engine) as session:
        assert find_by_email(session, "SALWA.b@example.iq") == ANN
