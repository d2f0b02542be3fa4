"""Reception as a machine: what is signed is believed in any spelling, what is said twice is one event.

A duplicate is the same content of the same record within ten minutes of its event, however it is spelled and signed.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import ClassVar
from urllib.parse import quote_plus

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine

from tests.support.hypothesis_effort import effort
from tests.support.webhook_sender import FORM, GENERIC, PREVIOUS_SECRET, SECRET, Sender, item, sender_for

WINDOW_SECONDS = 600
#: How the proof may be spelled.
SPELLINGS: list[Callable[[bytes], str]] = [
    bytes.hex,
    lambda digest: digest.hex().upper(),
    lambda digest: "sha256=" + digest.hex(),
    lambda digest: "SHA256= " + digest.hex().upper(),
    lambda digest: f"  {digest.hex()} ",
    lambda digest: base64.b64encode(digest).decode(),
]
#: How one record may be put into a body: content type, body, and the text its fields come to when they are signed.
BODIES: list[Callable[[str], tuple[str, bytes, bytes | None]]] = [
    lambda record: ("application/json", f'{{"item":{record}}}'.encode(), None),
    lambda record: ("text/plain", f' {{ "item" : {record} }}\n'.encode(), None),
    lambda record: ("application/json", f"\ufeff{record}".encode(), None),
    lambda record: (FORM, b"JSONString=" + quote_plus(record).encode(), b"JSONString" + record.encode()),
    lambda record: (FORM, f'{{"item":{record}}}'.encode(), None),
]
#: Where it may be sent: to its own address, or to the one for all with its name in the query.
ADDRESSES = [
    (lambda event: (f"{GENERIC}/product/{event}", "", b"")),
    (lambda event: (GENERIC, f"event={event}&entity=item", f"entityitemevent{event}".encode())),
    (lambda event: (f"{GENERIC}/items/{event}", "z=%C3%A9&a=1&b=", "a1bzé".encode())),
]
WAYS = st.fixed_dictionaries(
    {
        "spell": st.sampled_from(SPELLINGS),
        "put": st.sampled_from(BODIES),
        "address": st.sampled_from(ADDRESSES),
        "secret": st.sampled_from((SECRET, PREVIOUS_SECRET)),
        "plain": st.booleans(),
    }
)
CONTENTS = st.tuples(
    st.integers(0, 1), st.integers(0, 2), st.sampled_from(("created", "updated", "updated", "deleted"))
)
#: What a forger changes, of what was signed.
FORGERIES = ("another secret", "body", "query", "signature", "no signature", "the empty key")


class Reception(RuleBasedStateMachine):
    """Senders that know the secret, senders that do not, and a clock that moves the past away."""

    sender: ClassVar[Sender]

    @initialize()
    def begin(self) -> None:
        with self.sender.engine.begin() as connection:
            for table in ("tds_inbox_events", "tds_inbox_fingerprints", "tds_sync_queue"):
                connection.exec_driver_sql(f"delete from {table}")
        self.now = 0
        # By content: the event it is, when that came, and how often it came again.
        self.events: dict[tuple[int, int, bool], tuple[str, int, int]] = {}
        self.ids: list[str] = []

    @rule(content=CONTENTS, way=WAYS)
    def send(self, content: tuple[int, int, str], way: dict) -> None:  # type: ignore[type-arg]
        answer = self._post(content, way)
        number, state, event = content
        key = (number, state, event == "deleted")  # created and updated say the same
        known = self.events.get(key)
        said = answer.json
        if known and self.now - known[1] < WINDOW_SECONDS:
            assert (answer.status_code, said) == (200, {"event_id": known[0], "duplicate": True})
            self.events[key] = (known[0], known[1], known[2] + 1)
        else:
            assert (answer.status_code, said["duplicate"]) == (202, False), answer.text
            assert said["event_id"] not in self.ids
            self.ids.append(said["event_id"])
            self.events[key] = (said["event_id"], self.now, 0)

    @rule(content=CONTENTS, way=WAYS, forgery=st.sampled_from(FORGERIES), place=st.integers(0, 63))
    def forge(self, content: tuple[int, int, str], way: dict, forgery: str, place: int) -> None:  # type: ignore[type-arg]
        before = self.sender.believed()
        answer = self._post(content, way, forgery, place)
        assert answer.status_code == 401, answer.text
        assert answer.json["code"] == ("signature_missing" if forgery == "no signature" else "signature_wrong")
        assert self.sender.believed() == before

    def _post(self, content: tuple[int, int, str], way: dict, forgery: str = "", place: int = 0):  # type: ignore[type-arg,no-untyped-def]
        number, state, event = content
        content_type, body, fields = way["put"](json.dumps(item(f"46{number}", name=f"state {state}")))
        path, query, signed_query = way["address"](event)
        # A plain proof covers the body as it is. Zoho's covers the parameters by name, JSONString first.
        text = body if way["plain"] else (fields or b"") + signed_query + (b"" if fields else body)
        secret = {"another secret": "anothersecret1", "the empty key": ""}.get(forgery, way["secret"])
        digest = hmac.new(secret.encode(), text, hashlib.sha256).digest()
        if forgery == "signature":
            digest = bytes([*digest[: place // 2], digest[place // 2] ^ 1 << place % 8, *digest[place // 2 + 1 :]])
        header = "X-Zoho-Signature" if way["plain"] else "X-Zoho-Webhook-Signature"
        headers = {} if forgery == "no signature" else {header: way["spell"](digest)}
        if forgery == "body" or (forgery == "query" and way["plain"]):
            body = body.replace(b"state", b"State")
        elif forgery == "query":
            query += "&more=1"
        return self.sender.app.test_client().post(
            path, data=body, query_string=query, content_type=content_type, headers=headers
        )

    @precondition(lambda machine: bool(machine.events))
    @rule(minutes=st.sampled_from((3, 4, 8)))
    def let_time_pass(self, minutes: int) -> None:
        with self.sender.engine.begin() as connection:
            connection.exec_driver_sql(
                f"update tds_inbox_fingerprints set seen_at = seen_at - interval '{minutes} minutes'"
            )
        self.now += 60 * minutes

    @invariant()
    def there_are_as_many_events_as_contents_were_new(self) -> None:
        kept = [str(row.id) for row in self.sender.rows("select id from tds_inbox_events order by id")]
        assert kept == self.ids
        counted = self.sender.rows("select event_id, duplicate_count from tds_inbox_fingerprints")
        assert {(str(row.event_id), row.duplicate_count) for row in counted} == {
            (event_id, count) for event_id, _, count in self.events.values()
        }


def test_whatever_is_signed_is_believed_once_and_nothing_else_is(database: str, engine: Engine) -> None:
    with sender_for(database, engine) as sender:
        Reception.sender = sender
        run_state_machine_as_test(Reception, settings=effort(25, steps=20))
