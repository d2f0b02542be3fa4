"""What the log may say of a record the database refuses: the reason, never the row."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from tds_core.processing.complete import Completion
from tds_core.queue.items import Claim
from tds_core.records.transform import Provenance, RecordView, transform
from tds_models.entities import ENTITIES
from tds_tasks import work_batch_commit

SAID = 'violates check constraint "ck_product_price"\nDETAIL:  Failing row contains (zoho, 1, Jane Doe).\n'


def test_a_refused_record_is_logged_with_its_reason_and_without_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_claim: Claim, candidates: Any, _failures: Any) -> Completion:
        if candidates:
            raise IntegrityError("insert", {"rows": "Jane Doe"}, psycopg2.IntegrityError(SAID))
        return Completion()

    monkeypatch.setattr(work_batch_commit, "_complete", refuse)
    claim = Claim(
        source="zoho", entity="product", token=uuid4(), claimed_at=datetime.now(UTC), worker="w", items=[],
        bulk=False, drained_queue=True,
    )  # fmt: skip
    record = b'{"item_id": "1", "name": "Jane Doe"}'
    candidate = transform(ENTITIES["product"], record, view=RecordView.BODY, provenance=Provenance("webhook"))
    with capture_logs() as lines:
        work_batch_commit.commit_batch(claim, candidates={"1": candidate}, failures={})
    refused = next(line for line in lines if line["event"] == "sync_item_refused")
    assert "ck_product_price" in refused["detail"]
    assert "exc_info" not in refused
    assert "Jane" not in str(lines)
