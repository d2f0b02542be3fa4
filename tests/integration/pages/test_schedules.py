"""The pages of schedules: when jobs run and how their slots ended, and what operators change about them."""

from collections.abc import Iterator

import pytest

from tests.support.page_reader import Pages, pages_of
from tests.support.world import World

PAGE = "/dashboard/schedules"


@pytest.fixture
def pages(world: World, database: str) -> Iterator[Pages]:
    world.execute(
        "insert into tds_scheduled_jobs (name, cron, task, arguments) values"
        " ('nightly', '0 3 * * * Asia/Baghdad', 'runs', '{\"mode\": \"full\"}') on conflict (name) do nothing"
    )
    world.execute(
        "insert into tds_schedule_slots (job, slot_at, claimed_at, ended_at, result, detail)"
        " select 'nightly', now() - n * interval '1 day', now() - n * interval '1 day', now() - n * interval '1 day',"
        " case n when 2 then 'failed' else 'completed' end, case n when 2 then '<b>no</b>' end"
        " from generate_series(1, 9) n"
    )
    with pages_of(database, world.engine) as pages:
        yield pages


def test_a_job_is_said_in_words_with_its_last_seven_results(pages: Pages) -> None:
    [job] = [each for each in pages.viewer.json(PAGE)["jobs"] if each["name"] == "nightly"]
    assert [slot["result"] for slot in job["slots"]] == ["completed", "failed", *["completed"] * 5]
    page = pages.viewer.get(PAGE).text
    assert "daily at 03:00 Asia/Baghdad" in page
    assert f'href="{PAGE}/nightly"' in page
    row = page.split('id="job-nightly"')[1].split("</tr>")[0]
    assert (row.count('class="good"'), row.count('class="bad"')) == (6, 1)
    assert "&lt;b&gt;no&lt;/b&gt;" in pages.viewer.get(f"{PAGE}/nightly").text
    assert "nightly" in pages.viewer.get(PAGE, format="csv").text
    assert pages.viewer.get(f"{PAGE}/unknown").status_code == 404


def test_a_job_is_paused_run_and_changed(world: World, pages: Pages) -> None:
    job = f"{PAGE}/nightly"
    changed = pages.operator.press(job, "PUT schedules/nightly", cron="every:900", missed="skip")
    assert changed.status_code == 303
    assert "every 15 minutes" in pages.viewer.get(job).text
    wrong = pages.operator.press(job, "PUT schedules/nightly", cron="whenever", missed="skip")
    assert wrong.status_code == 422
    assert "five cron fields" in wrong.text
    assert pages.operator.press(job, "POST schedules/nightly/run").status_code == 303
    assert world.value("select count(*) from tds_schedule_slots where job = 'nightly' and claimed_at is null") == 1
    assert pages.operator.press(job, "POST schedules/nightly/pause").status_code == 303
    assert "has been paused since" in pages.viewer.get(PAGE).text
    assert pages.operator.press(job, "POST schedules/nightly/resume").status_code == 303
    assert world.value("select paused_at from tds_scheduled_jobs where name = 'nightly'") is None


def test_a_viewer_changes_no_job(world: World, pages: Pages) -> None:
    job = f"{PAGE}/nightly"
    for action in ("POST schedules/nightly/run", "POST schedules/nightly/pause", "PUT schedules/nightly"):
        assert not pages.viewer.offers(job, action)
        assert pages.viewer.post(action, cron="every:1").status_code == 403
        assert pages.operator.post(action, cron="every:1").status_code == 403, "without the token"
    assert world.value("select cron from tds_scheduled_jobs where name = 'nightly'") == "0 3 * * * Asia/Baghdad"
