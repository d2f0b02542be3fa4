"""The pages of alerts: what is shown first, what operators do there, and whom it is refused to."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from sqlalchemy import Engine

from tests.support.alertmanager import alert_of_prometheus, notification
from tests.support.page_reader import Pages, pages_of

PAGE = "/dashboard/alerts"
ENDED = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)


@pytest.fixture
def pages(database: str, engine: Engine) -> Iterator[Pages]:
    with pages_of(database, engine, TDS_TIME_ZONE="Asia/Baghdad") as pages:
        yield pages


def fire(pages: Pages, name: str, severity: str = "error", ended: datetime | None = None) -> str:
    alert = alert_of_prometheus(name, severity=severity, ended=ended, summary=f"<b>{name}</b> is wrong")
    assert pages.sender.post("/api/tds/alerts/prometheus", notification(alert)).status_code == 200
    return str(pages.sender.get("/api/tds/alerts").json["items"][0]["id"])


def test_active_alerts_come_first_the_worst_before_the_newest_and_what_is_over_last(pages: Pages) -> None:
    worst, newer, over = fire(pages, "Worst", "critical"), fire(pages, "Newer"), fire(pages, "Over")
    fire(pages, "Over", ended=ENDED)
    seen = pages.viewer.get(PAGE).text
    places = [seen.index(f'id="alert-{number}"') for number in (worst, newer, over)]
    assert places == sorted(places)
    assert "&lt;b&gt;Worst&lt;/b&gt; is wrong" in seen
    assert "<b>Worst" not in seen
    assert [each["id"] for each in pages.viewer.json(PAGE)["alerts"]["items"]] == [newer, worst]
    csv = pages.viewer.get(PAGE, format="csv", active="false")
    assert csv.content_type.startswith("text/csv")
    assert "Over is wrong" in csv.text.replace("<b>", "").replace("</b>", "")
    filtered = pages.viewer.get(PAGE, severity="critical").text
    assert f'id="alert-{worst}"' in filtered
    assert f'id="alert-{newer}"' not in filtered


def test_an_alert_is_acknowledged_silenced_for_the_night_and_resolved_on_its_page(pages: Pages) -> None:
    number = fire(pages, "Full")
    page, path = f"{PAGE}/{number}", f"POST alerts/{number}"
    assert pages.operator.press(page, f"{path}/acknowledge", lasts_seconds="3600", note="on it").status_code == 303
    seen = pages.operator.get(page).text
    assert "the-operator</bdi> takes care of it" in seen
    assert "on it" in seen
    assert pages.operator.press(page, f"{path}/unacknowledge").status_code == 303
    assert pages.operator.press(page, f"{path}/silence", reason="asleep").status_code == 303
    [silence] = pages.sender.get("/api/tds/alert-silences").json["items"]
    for shown in (page, PAGE):
        assert f"silences?open=true#silence-{silence['id']}" in pages.viewer.get(shown).text, shown
    ends_at = datetime.fromisoformat(silence["ends_at"]).astimezone(UTC)
    assert (ends_at.hour, ends_at.minute) == (5, 0), "eight in the morning of Baghdad"
    assert timedelta(0) < ends_at - datetime.now(UTC) < timedelta(hours=27)
    assert pages.operator.press(page, f"{path}/resolve", note="mended").status_code == 303
    story = pages.viewer.json(page)["story"]
    assert [each["to_state"] for each in story["transitions"]] == ["resolved", "firing", "acknowledged", "firing"]
    assert "mended" in pages.viewer.get(page).text
    assert "acknowledged" in pages.viewer.get(f"{PAGE}/history", rule="external").text


def test_acts_are_shown_disabled_to_a_viewer_and_refused_without_a_token(pages: Pages) -> None:
    number = fire(pages, "Full")
    page, action = f"{PAGE}/{number}", f"POST alerts/{number}/resolve"
    assert "needs the role operator" in unescape(pages.viewer.get(page).text)
    assert not pages.viewer.offers(page, action)
    assert pages.viewer.post(action, _csrf="x").status_code == 403
    assert pages.operator.post(action).status_code == 403
    assert pages.viewer.json(page)["story"]["alert"]["state"] == "firing"


def test_an_alert_that_never_was_is_said_so(pages: Pages) -> None:
    answer = pages.viewer.get(f"{PAGE}/999")
    assert (answer.status_code, "There is no alert 999" in answer.text) == (404, True)
    assert pages.admin.get(f"{PAGE}/channels/%E2%80%AEx").status_code == 404, "not ASCII"


def test_a_rule_is_tried_on_the_past_changed_once_and_reset(pages: Pages) -> None:
    page, action = f"{PAGE}/rules/backlog", "PUT alert-rules/backlog"
    assert f'href="{page}"' in pages.viewer.get(f"{PAGE}/rules").text
    tried = pages.admin.get(page, threshold="7", days="3").text
    assert 'name="threshold" type="text" value="7"' in tried
    old = pages.admin.json(page)["rule"]["terms"]["version"]
    assert pages.admin.press(page, action, threshold="7", reason="few workers").status_code == 303
    assert pages.admin.press(page, action, threshold="8", reason="late", version=str(old)).status_code == 409
    terms = pages.viewer.json(page)["rule"]["terms"]
    assert (terms["threshold"], terms["reason"], terms["changed_by"]) == (7, "few workers", "the-admin")
    assert not pages.operator.offers(page, action)
    assert pages.admin.press(page, "POST alert-rules/backlog/reset").status_code == 303
    assert pages.viewer.json(page)["rule"]["terms"]["threshold"] == 1000
    assert pages.viewer.get(f"{PAGE}/rules/none").status_code == 404


def test_a_silence_is_made_as_it_was_previewed(pages: Pages) -> None:
    number = fire(pages, "Full disk")
    page = f"{PAGE}/silences/new?rules=ext*&subjects=Full+disk,other+thing&lasts=14400&reason=move"
    seen = pages.operator.get(page).text
    assert "1 active alert" in seen
    assert f'href="{PAGE}/{number}"' in seen
    assert pages.operator.press(page, "POST alert-silences").status_code == 303
    [silence] = pages.viewer.json(f"{PAGE}/silences")["silences"]["items"]
    assert (silence["rules"], silence["subjects"]) == (["ext*"], ["Full disk", "other thing"])
    action = f"POST alert-silences/{silence['id']}"
    assert pages.operator.press(f"{PAGE}/silences", f"{action}/extend", lasts_seconds="86400").status_code == 303
    assert pages.operator.press(f"{PAGE}/silences", f"{action}/end").status_code == 303
    assert pages.viewer.json(f"{PAGE}/silences")["silences"]["items"][0]["state"] == "ended"


def test_a_silence_of_nothing_in_particular_is_no_silence_of_all(pages: Pages) -> None:
    seen = pages.operator.get(f"{PAGE}/silences/new", reason="all", lasts="3600")
    assert "Say which alerts" in unescape(seen.text)
    assert not pages.operator.offers(f"{PAGE}/silences/new?reason=all&lasts=3600", "POST alert-silences")


def test_a_window_that_recurs_is_previewed_and_made(pages: Pages) -> None:
    page = f"{PAGE}/silences/new?rules=*&cron=0+2+*+*+0&window_minutes=90&reason=sundays"
    assert pages.operator.press(page, "POST alert-silences").status_code == 303
    [silence] = pages.viewer.json(f"{PAGE}/silences")["silences"]["items"]
    assert (silence["cron"], silence["duration_seconds"]) == ("0 2 * * 0", 5400)
    wrong = pages.operator.get(f"{PAGE}/silences/new?rules=*&cron=0+2+*+*+0&window_minutes=long&reason=x").text
    assert "duration_seconds" in wrong


def test_a_channel_is_made_with_its_secret_shown_once_tested_and_deleted(database: str, engine: Engine) -> None:
    from_key = {"TDS_SECRET_KEY": "Zm9yLXRlc3RzLW9ubHktMzItYnl0ZXMtb2Yta2V5ISE="}
    with pages_of(database, engine, **from_key, TDS_OUTBOUND_HTTP="true") as pages:
        page, one = f"{PAGE}/channels", f"{PAGE}/channels/ops"
        fields = {"kind": "webhook", "fields.hook_address": "https://example.com/alerts"}
        made = pages.admin.press(page, "POST alert-channels", name="ops", **fields)
        assert (made.status_code, "whsec_" in made.text) == (200, True)
        assert "whsec_" not in pages.admin.get(one).text
        assert pages.admin.press(one, "PUT alert-channels/ops", minimum_severity="critical",
                                 quiet_hours="22:00-07:00").status_code == 303  # fmt: skip
        shown = pages.admin.json(one)["channel"]
        assert (shown["minimum_severity"], shown["quiet_hours"]) == ("critical", "22:00-07:00")
        assert "whsec_" in pages.admin.press(one, "POST alert-channels/ops/rotate", grace_seconds="60").text
        assert pages.viewer.get(one).status_code == 403
        assert pages.admin.press(one, "DELETE alert-channels/ops").status_code == 303
        assert pages.admin.get(one).status_code == 404
