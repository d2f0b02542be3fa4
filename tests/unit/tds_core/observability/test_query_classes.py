"""Statements fall into few classes, by verb and by the part of TDS they work on."""

import pytest
from prometheus_client.registry import REGISTRY

from tds_core.observability.query_classes import classify, observe_query


@pytest.mark.parametrize(
    ("statement", "verb", "part"),
    [
        ("select 1", "select", "other"),
        ("SELECT count(*) FROM tds_sync_queue WHERE entity = %(e)s", "select", "queue"),
        ("select * from tds_get_queue_stats()", "select", "queue"),
        ("select id from tds_sync_runs r where id = 7", "select", "runs"),
        ("set local lock_timeout = '2s';\ninsert into tds_sync_queue as q (source) select 1", "insert", "queue"),
        ("with p as (select 1) update tds_inbox_events e set verdict = 'x' from p", "update", "inbox"),
        ('select a from tds_inbox_events join erp."product" p using (source_id)', "select", "mirror"),
        ("insert into erp.product (source_id) values (1)", "insert", "mirror"),
        ("delete from tds_kept_answers where expires_at < now()", "delete", "other"),
        ("lock table x", "other", "other"),
        ("select selected from pg_catalog.pg_class", "select", "other"),
    ],
)
def test_a_statement_has_one_class(statement: str, verb: str, part: str) -> None:
    assert classify(statement) == (verb, part)


def test_a_statement_is_counted_under_its_class() -> None:
    def count() -> float:
        labels = {"verb": "delete", "part": "statistics"}
        return REGISTRY.get_sample_value("tds_query_seconds_count", labels) or 0.0

    before = count()
    observe_query("delete from tds_metrics where at < now()", 0.01)
    assert count() == before + 1
