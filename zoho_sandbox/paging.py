"""One page of a collection: offsets over a list that goes on changing, exactly as drifty as Zoho's."""

from bisect import bisect_left
from operator import itemgetter

import msgspec

from zoho_sandbox.collection import Collection, Entry
from zoho_sandbox.list_query import DATE_BOUNDS, ListQuery
from zoho_sandbox.list_quirks import ListSwitches, ended, shuffled
from zoho_sandbox.record import Record

_encode = msgspec.json.Encoder().encode
_BY_KEY = itemgetter(0, 1)


class Pages:
    """Answers list calls for one collection; remembers the last costly selection until a record changes."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.switches = ListSwitches()
        self._memory: tuple[object, list[Entry]] = (None, [])

    def page(self, query: ListQuery) -> bytes:
        """The encoded list answer, envelope and page context included."""
        entries, start = self._select(query)
        if self.switches.ties == "shuffled":
            entries, start = shuffled(entries, start), 0
        if self.switches.endless == "repeated":
            query = msgspec.structs.replace(query, page=min(query.page, self._last_page(len(entries) - start, query)))
        total = len(entries) - start
        offset = (query.page - 1) * query.per_page
        if query.descending:
            stop = max(len(entries) - offset, start)
            wanted = entries[max(stop - query.per_page, start) : stop][::-1]
        else:
            wanted = entries[start + offset : start + offset + query.per_page]
        context = self._context(query, total > offset + len(wanted) and bool(wanted))
        if query.response_option in {1, 2, 3}:
            context["total"] = total
        shape, records = self.collection.shape, self.collection.records
        rows = (
            b""
            if query.response_option in {2, 3}
            else b",".join(self._row(records[i], query.location) for _, i in wanted)
        )
        plural = shape.plural.encode()
        body = b'{"code":0,"message":"success","' + plural + b'":[' + rows + b'],"page_context":' + _encode(context)
        return ended(self.switches, body + b"}")

    @staticmethod
    def _last_page(total: int, query: ListQuery) -> int:
        return max(1, -(-total // query.per_page))

    def _row(self, record: Record, place: int | None) -> bytes:
        render_at = self.collection.shape.render_row_at
        return self.collection.row(record) if place is None or render_at is None else _encode(render_at(record, place))

    def _context(self, query: ListQuery, has_more_page: bool) -> dict[str, object]:
        return {
            "page": query.page,
            "per_page": query.per_page,
            "has_more_page": has_more_page,
            "report_name": self.collection.shape.report_name,
            "applied_filter": query.applied_filter,
            "sort_column": query.column,
            "sort_order": "D" if query.descending else "A",
        }

    def _select(self, query: ListQuery) -> tuple[list[Entry], int]:
        """The entries in ascending order, and where among them the page numbering starts."""
        by_time = query.column == "last_modified_time"
        plain = not (query.contains or query.search or query.dates)
        if plain and query.since is None:
            return self.collection.view(query.facets, query.column), 0
        if plain and by_time:
            entries = self.collection.view(query.facets, query.column)
            return entries, bisect_left(entries, (query.since, ""))
        asked = (query.facets, query.column, query.since, query.contains, query.search, query.dates)
        signature = (self.collection.version, *asked)
        if self._memory[0] != signature:
            self._memory = (signature, self._search(query))
        return self._memory[1], 0

    def _search(self, query: ListQuery) -> list[Entry]:
        changed = self.collection.view(query.facets, "last_modified_time")
        start = 0 if query.since is None else bisect_left(changed, (query.since, ""))
        key = self.collection.shape.columns[query.column]
        records = (self.collection.records[record_id] for _, record_id in changed[start:])
        return sorted(((key(r), r.id) for r in records if self._holds(r, query)), key=_BY_KEY)

    def _holds(self, record: Record, query: ListQuery) -> bool:
        state = record.state
        if any(part not in str(state.get(field, "")).lower() for field, part in query.contains):
            return False
        if not all(DATE_BOUNDS[bound](state["date"], day) for bound, day in query.dates):
            return False
        texts = (str(state.get(field, "")).lower() for field in self.collection.shape.search)
        return not query.search or any(query.search in text for text in texts)
