"""Messages promise: what, since when, how bad, why and what to do, whatever text comes from outside, however much."""

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tds_core.alerts.messages import compose, message_of_test
from tds_core.alerts.rendering import markdown, mrkdwn, rendered
from tds_core.alerts.text_formatting import one_line
from tests.support.alert_messages import NOW, item, message, resolved
from tests.support.hostile_text import NAME, OBEYED

CHANNELS = ("message.txt", "message.html", "message.md", "slack.mrkdwn", "telegram.html", "teams.md", "ntfy.txt")
#: Three groups of 500 dead letters, as the rule reads them.
LETTERS = {
    "letter_count": 500,
    "problems": [
        {"problem": "3fa9c1", "count": 320, "entity": "invoice", "command": "tds dead-letter retry --problem 3fa9c1"},
        {"problem": "77b01e", "count": 150, "entity": "product", "command": "tds dead-letter retry --problem 77b01e"},
        {"problem": "c0ffee", "count": 30, "entity": "customer", "command": "tds dead-letter retry --problem c0ffee"},
    ],
}


@pytest.mark.parametrize("template", CHANNELS)
def test_a_message_says_what_since_when_how_bad_why_and_what_to_do(template: str) -> None:
    told = rendered(template, message(item(muted_count=3, muted_titles=["Sync lag", "Stale"]))).replace("\\", "")
    for part in (
        "CRITICAL", "product", "5,201 work items wait.", "since 2026-11-29 07:10 UTC, for 20 min", "new",
        "Zoho answers slowly.", "Workers go on.", "tds queue stats", "tds alerts ack 12",
        "Mutes 3 alerts that it causes: Sync lag, Stale, 1 more", "acme",
    ):  # fmt: skip
        assert part in told, part
    if template != "ntfy.txt":
        assert "https://tds.example.com/dashboard/alerts/12" in told
        assert "tds alerts silence 12 --for 2h --reason" in told


@pytest.mark.parametrize("template", CHANNELS)
def test_an_end_says_how_long_it_was_and_asks_for_nothing(template: str) -> None:
    over = message(resolved())
    told = f"{over.title} {rendered(template, over)}".replace("\\", "")
    assert "Over: Work waits: product" in told
    assert "since 2026-11-29 07:10 UTC, over at 2026-11-29 07:30 UTC after 20 min" in told
    assert "tds alerts ack" not in told
    assert "Likely cause" not in told


def test_a_title_says_what_changed() -> None:
    assert message().title == "CRITICAL: Work waits: product"
    assert message(item(kind="reminder", severity="error")).title == "Still ERROR: Work waits: product"
    several = [item(1), item(2, severity="warning"), item(3, kind="reminder"), resolved(alert_id=4)]
    assert message(*several).title == "CRITICAL: Work waits: 2 firing, 1 still firing, 1 over"
    both = message(item(1, severity="warning"), item(2, rule="sync_lag", title="Sync lag", severity="warning"))
    assert both.title == "WARNING: 2 kinds of alerts: 2 firing"
    assert (message(*several).kind, message(resolved(), item(kind="reminder")).kind) == ("firing", "reminder")


def test_a_storm_of_dead_letters_is_one_message_with_its_groups_and_commands() -> None:
    told = message(
        item(rule="dead_letters", title="Dead letters", subject="", says="500 dead letters wait.", detail=LETTERS)
    )
    for template in CHANNELS:
        text = rendered(template, told).replace("\\", "")
        for group in LETTERS["problems"]:  # type: ignore[attr-defined]
            assert f"problem {group['problem']}, count {group['count']}, entity {group['entity']}" in text
            assert group["command"] in text
    [alert] = told.data["data"]["alerts"]
    assert alert["detail"] == LETTERS


def test_thirty_alerts_are_one_message_that_shows_the_worst_and_counts_the_others() -> None:
    items = [item(number, severity="warning") for number in range(1, 30)] + [item(99)]
    told = message(*items)
    assert told.title == "CRITICAL: Work waits: 30 firing"
    assert told.text.index("(alert 99)") < told.text.index("(alert 1)") < told.text.index("(alert 9)")
    assert told.text.count("Likely cause") == 1
    assert "and 20 more: tds alerts list --rule queue_backlog" in told.text
    assert len(told.data["data"]["alerts"]) == 30
    many = message(*(item(number) for number in range(500)))
    assert (many.data["data"]["alert_count"], len(many.data["data"]["alerts"])) == (500, 200)
    assert len(json.dumps(many.data)) < 300_000


@pytest.mark.parametrize("longest", [2900, 4000, 8000])
def test_what_a_channel_takes_is_not_exceeded(longest: int) -> None:
    items = [
        item(number, rule=f"rule_{number % 12}", title=f"Rule {number % 12}", says="x" * 5000, subject="y" * 500,
             detail={f"key{n}": "z" * 400 for n in range(30)})
        for number in range(60)
    ]  # fmt: skip
    told = message(*items, with_detail=True)
    assert len(told.title) <= 150
    for template in CHANNELS:
        assert len(rendered(template, told, longest=longest).encode()) <= longest, template


HOSTILE = f"<b>{NAME}</b> &amp; 'q'; <!channel> <@U1> *b* _i_ ~s~ `c` [l](http://evil) | # h\n- list\r\n1. x {{ 7*7 }}"


@pytest.mark.parametrize("field", ["subject", "says", "title", "reason", "cause", "automatic", "command", "runbook"])
def test_hostile_text_is_only_text(field: str) -> None:
    told = message(item(**{field: HOSTILE}), with_detail=True)
    texts = [
        told.title,
        *(rendered(template, told) for template in CHANNELS),
        json.dumps(told.data, ensure_ascii=False),
    ]
    for text in texts:
        assert not set(text) & set(OBEYED) - {"\u200b"}
        assert "49" not in text
    assert "<b>Bolt" not in told.html
    assert "<b>Bolt" not in rendered("telegram.html", told)
    slack = rendered("slack.mrkdwn", told)
    assert "<!channel>" not in slack
    assert "<@U1>" not in slack
    if field not in ("command", "runbook"):
        assert "[l](http" not in told.markdown
        assert "[l](http" not in rendered("teams.md", told)


@given(st.text(max_size=300))
def test_any_text_stays_in_its_place(text: str) -> None:
    assume(one_line(text, 50))
    told = message(item(says=text, subject=text, detail={"error": text}), with_detail=True)
    plain = message(item(says="x", subject="x", detail={"error": "x"}), with_detail=True)
    assert re.findall(r"<[^>]*>", told.html) == re.findall(r"<[^>]*>", plain.html)
    assert len(told.text.splitlines()) == len(plain.text.splitlines())
    texts = [token.type for token in MarkdownIt().parse(told.markdown)]
    assert texts == [token.type for token in MarkdownIt().parse(plain.markdown)]


MARKUP = (
    "a*b*",
    "[x](y)",
    "<at>x</at>",
    "# h",
    "- l",
    "+ l",
    "1. l",
    "`c`",
    "_a_",
    "|a|b|",
    "\\",
    "&lt;",
    "![i](u)",
    "---",
)


@pytest.mark.parametrize("text", MARKUP)
def test_commonmark_finds_no_markup(text: str) -> None:
    assert MarkdownIt().render(markdown(text)).strip() == f"<p>{html.escape(text)}</p>"


def test_slack_sees_no_marks() -> None:
    assert mrkdwn("<!here> & `x`") == "&lt;!here&gt; &amp; 'x'"
    for text in ("*b*", "_i_", "~s~", "a *b c* d", "__init__", "*"):
        assert mrkdwn(text) != text
        assert mrkdwn(text).replace("\u200b", "") == text
    for text in ("sales_order", "a*b", "x_y_z", "webhook_rule_off"):
        assert mrkdwn(text) == text


def test_secrets_and_customers_are_not_shown() -> None:
    detail: dict[str, Any] = {
        "customer_name": "Ada Lovelace", "email": "ada@example.com", "error": "Bearer abcdef.123456 of ada@example.com",
        "note": "Ada Lovelace of Byron & Co", "source_id": "460000000000001", "count": 3, "Ada Lovelace": 5,
        "access_token": "1000.aaaa.bbbb", "worker": "worker1",
    }  # fmt: skip
    shown = message(item(detail=detail, says="password=hunter2 for ada@example.com"))
    everything = f"{shown.text} {shown.html} {json.dumps(shown.data)}"
    for secret in ("Ada", "ada@", "hunter2", "abcdef", "1000.aaaa", "Byron"):
        assert secret not in everything, secret
    assert "source id: 460000000000001" in shown.text
    assert "count: 3" in shown.text
    with_text = message(item(detail=detail), with_detail=True)
    assert "note: Ada Lovelace of Byron & Co" in with_text.text
    for secret in ("ada@", "abcdef", "1000.aaaa"):
        assert secret not in f"{with_text.text} {json.dumps(with_text.data)}", secret


def test_an_alert_without_a_row_has_no_number_and_nothing_to_acknowledge() -> None:
    told = message(item(0))
    for template in CHANNELS:
        text = rendered(template, told)
        assert "tds alerts ack" not in text
        assert "alert 0" not in text
        assert "/alerts/0" not in text


def test_there_are_no_links_without_an_address() -> None:
    told = message(base_url="")
    assert "http" not in told.text
    assert told.data["data"]["alerts"][0]["link"] is None


def test_a_test_says_that_it_is_one() -> None:
    told = message_of_test(channel="ops", message_id="m", installation="acme", at=NOW)
    assert told.title == "Test: Message to the channel: ops"
    assert told.data["type"] == "alert.test"
    assert "tds alerts ack" not in told.text


def test_json_has_what_a_program_needs() -> None:
    body = message(item(detail={"count": 1}), resolved(alert_id=9)).data
    assert (body["type"], body["timestamp"]) == ("alert.firing", "2026-11-29T07:30:00Z")
    first, over = body["data"]["alerts"]
    assert (first["id"], first["since"], first["ended"], first["value"]) == ("12", "2026-11-29T07:10:00Z", None, 5201.0)
    assert (over["kind"], over["ended"]) == ("resolved", "2026-11-29T07:30:00Z")
    json.dumps(body)


def test_a_message_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one"):
        compose([], message_id="m", installation="i", base_url="", with_detail=False)


def test_durations_end_at_the_end() -> None:
    late = message(resolved(since=NOW - timedelta(days=2, hours=3), ended=NOW - timedelta(hours=1)))
    assert "after 2 d 2 h" in late.text
