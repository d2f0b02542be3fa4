"""Spot checks while edits run: exact counts, and a few records read through the API and compared in full."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import requests
from sqlalchemy import Connection, text

from tds_lab.comparison.expected_columns import Expected
from tds_lab.comparison.expected_rows import EXPECTED
from tds_lab.comparison.mirror_comparison import differences, parts_of, rows_of
from tds_lab.testbed import Environment

TIMEOUT_SECONDS = 10.0
# How many records of each entity that webhooks tell of: products come in one call, the others cost one each.
SAMPLED = {
    "product": 40, "customer": 3, "vendor": 1, "sales_order": 3, "invoice": 4, "customer_payment": 2, "bill": 1,
    "credit_note": 1, "stock_adjustment": 1,
}  # fmt: skip
_EXPECTED = [expected for expected in EXPECTED if expected.entity in SAMPLED]
_LIVE = text(
    " union all ".join(
        f"select '{each.plural}', count(*) from {each.table} where deleted_at is null" for each in _EXPECTED
    )
)


@dataclasses.dataclass
class Sample:
    """Live records on both sides (here, there) by the stand-in's names, and how many looked at differed."""

    counts: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    record_count: int = 0
    differing_count: int = 0

    @property
    def off_by(self) -> int:
        """By how many records the counts disagree."""
        return sum(abs(here - there) for here, there in self.counts.values())


class Sampler:
    """Reads samples with a token of its own; `call_count` are API calls that TDS did not make."""

    def __init__(self, environment: Environment) -> None:
        self.call_count = 0
        self._api = environment.stand_in.url
        self._organization_id = environment.stack.settings.zoho_organization_id
        self._new_token = environment.stand_in.token
        self._session = requests.Session()
        self._log_in()

    def take(self, connection: Connection, live: Mapping[str, Mapping[str, int]]) -> Sample:
        """Compare now; `live` are the stand-in's own counts, taken just before."""
        here: Counter[str] = Counter()
        for plural, count in connection.execute(_LIVE):
            here[plural] += count
        sample = Sample({plural: (count, live[plural]["live"]) for plural, count in here.items()})
        for expected in _EXPECTED:
            self._compare_some(connection, expected, sample)
        return sample

    def _compare_some(self, connection: Connection, expected: Expected, sample: Sample) -> None:
        query = text(f"select source_id from {expected.table} where deleted_at is null order by random() limit :some")
        ids = connection.execute(query, {"some": SAMPLED[expected.entity]}).scalars().all()
        # The row is read before the record: what changed in between is in flight, and counts as a difference.
        rows = {row["source_id"]: row for row in rows_of(connection, expected, ids)}
        kept = parts_of(connection, expected, ids)
        for record in self._read(expected, ids):
            source_id = record[expected.id_key]
            sample.record_count += 1
            sample.differing_count += any(differences(expected, record, rows[source_id], kept.get(source_id, {})))

    def _read(self, expected: Expected, ids: Sequence[str]) -> list[dict[str, Any]]:
        if expected.entity == "product":
            return list(self._get("inventory/v1/itemdetails", item_ids=",".join(ids)).get("items", ())) if ids else []
        path, key = expected.single
        answers = [self._get(f"{path}/{source_id}") for source_id in ids]
        return [answer[key] for answer in answers if key in answer]

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        answer = self._ask(path, parameters)
        if answer.status_code == requests.codes.unauthorized:  # a token lasts an hour, a demo may last longer
            self._log_in()
            answer = self._ask(path, parameters)
        return json.loads(answer.content, parse_float=Decimal)

    def _log_in(self) -> None:
        self._session.headers["Authorization"] = f"Zoho-oauthtoken {self._new_token()}"

    def _ask(self, path: str, parameters: Mapping[str, str]) -> requests.Response:
        self.call_count += 1
        params = {"organization_id": self._organization_id, **parameters}
        return self._session.get(f"{self._api}/{path}", params=params, timeout=TIMEOUT_SECONDS)
