"""The pages of dead letters: found by problem, retried one and then the rest, edited, and never by mistake."""

import html
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.dead_letters import dead, letter, many, mend, step
from tests.support.page_reader import Pages, pages_of
from tests.support.world import ScriptedSource, World

PAGE = "/dashboard/dead-letters"
ONE, TWO = "460000000000901", "460000000000902"


@pytest.fixture
def pages(world: World, database: str) -> Iterator[Pages]:
    with pages_of(database, world.engine) as pages:
        yield pages


def revivals(world: World) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in world.rows("select letter_id, requested_by from tds_dead_letter_revivals")]


def test_problems_stand_above_their_letters_and_lead_to_them(
    world: World, source: ScriptedSource, pages: Pages
) -> None:
    dead(world, source, ONE)
    many(world, 3)
    data = pages.viewer.json(PAGE)
    assert [group["letter_count"] for group in data["groups"]["items"]] == [3, 1]
    assert len(data["letters"]["items"]) == 4
    page = pages.viewer.get(PAGE).text
    assert f'href="{PAGE}?fingerprint=transient%3Aproduct%3AHTTP+_"' in page
    of_group = pages.viewer.json(PAGE, fingerprint="transient:product:HTTP _")
    assert [len(of_group[part]["items"]) for part in ("letters", "groups")] == [3, 1]
    rows = pages.viewer.get(PAGE, format="csv", source_id=ONE).text.splitlines()
    assert len(rows) == 2 and ONE in rows[1]


def test_one_is_retried_its_outcome_shown_and_then_the_rest_is_offered(
    world: World, source: ScriptedSource, pages: Pages
) -> None:
    first, second = dead(world, source, ONE, TWO)
    fingerprint = str(letter(world, first)["fingerprint"])
    group = pages.operator.get(PAGE, fingerprint=fingerprint).request.full_path
    answer = pages.operator.press(group, f"POST dead-letter/{second}/retry")
    assert answer.status_code == 303
    assert parse_qs(urlsplit(answer.location).query)["tried"] == [str(second)]
    waiting = pages.operator.get(answer.location).text
    assert "is being retried" in waiting and "Now the rest" not in waiting
    mend(source, ONE, TWO)
    world.drain("product")
    passed = pages.operator.get(answer.location).text
    assert "Now the rest" in passed
    preview = html.unescape(passed.split("Now the rest")[0].rsplit('href="', 1)[1].split('"')[0])
    assert pages.operator.json(preview)["preview"]["letter_count"] == 1
    answer = pages.operator.press(preview, "POST dead-letter/retry")
    assert (answer.status_code, answer.location) == (303, f"{PAGE}/batches")
    [batch] = pages.viewer.json(answer.location)["batches"]["items"]
    assert pages.viewer.json(f"{PAGE}/batches/{batch['id']}")["letters"]["items"][0]["id"] == str(first)
    step(world)
    world.drain("product")
    assert letter(world, first)["resolution"] == "revived"


def test_one_that_fails_again_warns_of_the_rest(world: World, source: ScriptedSource, pages: Pages) -> None:
    [first] = dead(world, source, ONE)
    fingerprint = str(letter(world, first)["fingerprint"])
    pages.operator.press(f"{PAGE}/{first}", f"POST dead-letter/{first}/retry")
    world.drain("product")
    page = pages.operator.get(PAGE, fingerprint=fingerprint, tried=first).text
    assert "failed again" in page and "Now the rest" not in page


def test_a_preview_that_is_no_longer_true_retries_nothing(world: World, pages: Pages) -> None:
    many(world, 3)
    selection = f"{PAGE}/retry?error_class=transient"
    refused = pages.operator.press(selection, "POST dead-letter/retry", letter_count="2")
    assert refused.status_code == 409
    assert "3 letters are meant now, 2 were expected" in refused.text
    assert revivals(world) == []


def test_no_selection_is_refused_and_never_means_all(world: World, pages: Pages) -> None:
    many(world, 3)
    nothing = pages.operator.get(f"{PAGE}/retry")
    assert (nothing.status_code, "Say which letters" in nothing.text) == (200, True)
    assert pages.operator.get(f"{PAGE}/retry?per_minute=5").status_code == 422
    assert not pages.operator.offers(f"{PAGE}/retry", "POST dead-letter/retry")
    assert pages.operator.json(f"{PAGE}/retry?everything=true")["preview"]["letter_count"] == 3


def test_selected_rows_and_no_others_are_retried(world: World, pages: Pages) -> None:
    many(world, 3)
    ids = [row["id"] for row in world.rows("select id from tds_dead_letter_queue order by id")][:2]
    selection = f"{PAGE}/retry?ids={ids[0]}&ids={ids[1]}"
    assert pages.operator.press(selection, "POST dead-letter/retry").status_code == 303
    assert revivals(world) == [(each, "the-operator") for each in ids]


def test_an_edited_record_keeps_the_spelling_of_its_numbers(world: World, source: ScriptedSource, pages: Pages) -> None:
    [first] = dead(world, source, ONE)
    record = (
        '{"item_id": "460000000000901", "rate": 12.50000000000000000001, "last_modified_time": "2026-11-22T09:30:00Z"}'
    )
    path = f"{PAGE}/{first}"
    edit, reveal = f"PATCH dead-letter/{first}/payload", f"POST entities/product/{ONE}/reveal"
    assert not pages.operator.offers(path, edit), "not edited unseen"
    assert not pages.viewer.offers(path, reveal)
    assert pages.operator.press(path, reveal, reason="why did it die").status_code == 303
    answer = pages.operator.press(path, edit, **{"record{}": record})
    assert answer.status_code == 303
    assert "12.50000000000000000001" in pages.operator.get(path).text
    for form in ("html", "json"):
        assert "12.5000" not in pages.viewer.get(path, format=form).text, "revealed to one person"
    broken = pages.operator.press(path, edit, **{"record{}": "{not json"})
    assert broken.status_code in (400, 409, 422) or 'role="alert"' in broken.text
    assert "12.50000000000000000001" in pages.operator.get(path).text


def test_a_letter_is_assigned_and_resolved_with_a_note(world: World, source: ScriptedSource, pages: Pages) -> None:
    [first] = dead(world, source, ONE)
    path = f"{PAGE}/{first}"
    assert pages.operator.press(path, f"POST dead-letter/{first}/assign", to="ann").status_code == 303
    assert letter(world, first)["assigned_to"] == "ann"
    assert pages.operator.press(path, f"POST dead-letter/{first}/resolve", note="a test record").status_code == 303
    assert letter(world, first)["resolution"] == "resolved"
    assert "a test record" in pages.viewer.get(path).text


def test_a_viewer_sees_why_it_may_not_and_is_refused(world: World, source: ScriptedSource, pages: Pages) -> None:
    [first] = dead(world, source, ONE)
    assert "needs the role" in pages.viewer.get(f"{PAGE}/{first}").text
    for action in (f"POST dead-letter/{first}/retry", "POST dead-letter/retry"):
        assert not pages.viewer.offers(f"{PAGE}/{first}", action)
        assert pages.viewer.post(action, entity="product").status_code == 403
        assert pages.operator.post(action, entity="product").status_code == 403, "without the token"
    assert pages.viewer.get(f"{PAGE}/retry?entity=product").status_code == 403
    assert revivals(world) == []
