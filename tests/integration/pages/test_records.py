"""The pages of a record: its fields beside Zoho's, its timeline and versions, and personal data that is masked."""

import os
from collections.abc import Iterator

import pytest

from tests.support.page_reader import Pages, pages_of
from tests.support.standin import StandIn
from tests.support.world import World, forget_context

REASON = "a call about their order"


@pytest.fixture
def pages(
    synced: World, database: str, standin: StandIn, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pages]:
    for entity in ("product", "customer"):
        synced.run(entity, "full")
    monkeypatch.setenv("TDS_REDIS_URL", redis_url)
    forget_context()
    given = {name: os.environ[name] for name in ("TDS_REDIS_URL", "TDS_SECRET_KEY")}
    with pages_of(database, synced.engine, **given, **standin.settings) as pages:
        yield pages


def test_both_sides_stand_field_by_field_only_after_the_button(pages: Pages, standin: StandIn, synced: World) -> None:
    source_id = standin.ids("items")[0]
    name = synced.row("product", source_id)["name"]
    standin.edit("items", source_id, name="Renamed <b>")
    page, before = f"/dashboard/entities/product/{source_id}", len(standin.calls)
    assert "Renamed" not in pages.operator.get(page).text
    assert len(standin.calls) == before, "looking costs no call"
    shown = pages.operator.get(page, live="1")
    assert "Renamed &lt;b&gt;" in shown.text and "1 field differs" in shown.text
    assert 'href="#field-name"' in shown.text
    assert "Equal to Zoho" in shown.text and "badge good" not in shown.text.split("Newest steps")[0], "never both"
    assert f"Products: {name}" in pages.operator.get(f"{page}/timeline").text
    differing = [row for row in pages.operator.json(page, live="1")["compared"] if row["differs"]]
    assert [(row["field"], row["here"], row["other"]) for row in differing] == [("name", name, "Renamed <b>")]
    assert "needs the role operator" in " ".join(pages.viewer.get(page).text.split())
    assert pages.viewer.json(page, live="1")["live"]["problem"]["status"] == 403


def test_sync_now_asks_for_this_record_alone_and_is_refused_to_viewers(
    pages: Pages, standin: StandIn, synced: World
) -> None:
    source_id = standin.ids("items")[0]
    page = f"/dashboard/entities/product/{source_id}"
    standin.edit("items", source_id, name="Renamed")
    assert not pages.viewer.offers(page, "POST sync/product")
    assert pages.operator.post("POST sync/product", mode="targeted", **{"ids[]": source_id}).status_code == 403
    assert synced.value("select count(*) from tds_sync_runs where mode = 'targeted'") == 0, "without the token: refused"
    assert pages.operator.press(page, "POST sync/product").status_code == 303
    asked = synced.one("select mode, asked, requested_by from tds_sync_runs order by id desc limit 1")
    assert (asked["mode"], asked["asked"]["ids"], asked["requested_by"]) == ("targeted", [source_id], "the-operator")


def test_the_timeline_and_the_versions_lead_back_to_a_moment(pages: Pages, standin: StandIn, synced: World) -> None:
    source_id = standin.ids("items")[0]
    old = synced.row("product", source_id)["name"]
    standin.edit("items", source_id, name="Renamed")
    synced.run("product", "incremental")
    page = f"/dashboard/entities/product/{source_id}"
    steps = pages.viewer.json(f"{page}/timeline", field="name")["steps"]
    assert [step["detail"]["changes"]["name"] for step in steps if step["kind"] == "change"] == [
        [old, "Renamed"],
        [None, old],
    ]
    versions = pages.viewer.json(f"{page}/versions")["versions"]["items"]
    assert [version["changes"].get("name") for version in (versions[0], versions[-1])] == [
        [old, "Renamed"],
        [None, old],
    ]
    then = pages.viewer.json(page, as_of=versions[1]["recorded_at"])["compared"]
    assert [(row["here"], row["other"]) for row in then if row["differs"]] == [("Renamed", old)]
    assert "Renamed" in pages.viewer.get(f"{page}/versions", format="csv").text
    filtered = pages.viewer.get(f"{page}/timeline", since="2001-01-01T00:00", until="2001-01-02T00:00")
    assert filtered.status_code == 200 and "Show the whole timeline" in filtered.text
    for twice in (f"{page}/timeline?since=2001-01-01&since=2002-01-01", "/dashboard/entities/product?as_of=1&as_of=2"):
        assert pages.viewer.get(twice).status_code < 500, twice


def test_personal_data_is_masked_everywhere_until_its_reveal_is_written_down(pages: Pages, synced: World) -> None:
    email = "person@example.test"
    source_id = str(synced.value("select min(source_id) from erp.customer"))
    synced.execute("update erp.customer set email = :email where source_id = :id", email=email, id=source_id)
    page = f"/dashboard/entities/customer/{source_id}"
    looked = [page, f"{page}/timeline", f"{page}/versions", "/dashboard/entities/customer"]
    for address in looked:
        for form in ("html", "json", "csv"):
            assert email not in pages.operator.get(address, format=form).text, (address, form)
    assert "Street" not in pages.operator.get(page, format="json").text, "the source's own record"
    assert not pages.viewer.offers(page, f"POST entities/customer/{source_id}/reveal")
    pages.operator.press(page, f"POST entities/customer/{source_id}/reveal", reason=REASON)
    assert email in pages.operator.get(page).text
    assert email not in pages.viewer.get(page).text, "revealed to one person"
    assert email not in pages.operator.get("/dashboard/entities/customer").text, "and of one record"
    noted = synced.one(
        "select caller, detail, source_ids from tds_operator_actions"
        " where operation = 'reveals.reveal' and outcome = 'done'"
    )
    assert (noted["caller"], noted["detail"]["reason"], noted["source_ids"]) == ("the-operator", REASON, [source_id])
    pages.operator.press(page, f"DELETE entities/customer/{source_id}/reveal")
    assert email not in pages.operator.get(page).text


def test_a_record_nobody_knows_says_what_to_do(pages: Pages) -> None:
    answer = pages.viewer.get("/dashboard/entities/product/460000000000777")
    assert "TDS has never heard of it" in answer.text
    assert pages.viewer.get("/dashboard/entities/nothing/1").status_code == 404
