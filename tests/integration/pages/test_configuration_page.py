"""The pages of settings: values with their origin, a change with its reason, its history, and the way back."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tds_core.config.overrides import overrides
from tests.support.page_reader import Pages, pages_of

PAGE, ONE = "/dashboard/configuration", "/dashboard/configuration/TDS_MAX_ATTEMPTS"
CHANGE = "PUT configuration/TDS_MAX_ATTEMPTS"


@pytest.fixture
def pages(database: str, engine: Engine) -> Iterator[Pages]:
    with pages_of(database, engine) as pages:
        yield pages
    overrides.replace({})


def test_settings_are_listed_by_group_and_found_by_their_words(pages: Pages) -> None:
    seen = pages.admin.get(PAGE).text
    assert 'id="setting-TDS_MAX_ATTEMPTS"' in seen
    assert "TDS_DATABASE_URL" not in seen
    assert 'id="setting-TDS_DATABASE_URL"' in pages.admin.get(PAGE, settable="false").text
    found = pages.admin.get(PAGE, q="dead letter").text
    assert 'id="setting-TDS_MAX_ATTEMPTS"' in found
    assert 'id="setting-TDS_CLAIM_SIZE"' not in found
    assert "TDS_MAX_ATTEMPTS" in pages.admin.get(PAGE, format="csv").text


def test_a_setting_is_changed_with_its_reason_and_goes_back(pages: Pages) -> None:
    assert pages.admin.press(ONE, CHANGE, value="5", reason="fewer attempts").status_code == 303
    assert pages.admin.press(ONE, CHANGE, value="6", reason="late", version="0").status_code == 409
    assert pages.admin.press(ONE, CHANGE, value="0", reason="none").status_code == 422
    setting = pages.admin.json(ONE)["setting"]
    assert (setting["value"], setting["version"], setting["changed_by"]) == (5, 1, "the-admin")
    seen = pages.admin.get(ONE).text
    assert "<ins>5</ins>" in seen
    assert "fewer attempts" in pages.admin.get(f"{PAGE}/history").text
    back = {"value{}": "null", "reason": "enough", "version": "1"}
    assert pages.admin.press(ONE, CHANGE, **back).status_code == 303
    setting = pages.admin.json(ONE)["setting"]
    assert (setting["value"], setting["source"], setting["version"]) == (8, "environment", 2)
    assert "<del>5</del>" in pages.admin.get(ONE).text


def test_what_is_read_at_the_start_is_shown_without_a_form(pages: Pages) -> None:
    seen = pages.admin.get(f"{PAGE}/TDS_DATABASE_URL").text
    assert "start TDS again" in seen
    assert not pages.admin.offers(f"{PAGE}/TDS_DATABASE_URL", "PUT configuration/TDS_DATABASE_URL")


def test_settings_are_administrators_and_a_form_needs_its_token(pages: Pages) -> None:
    assert pages.operator.get(PAGE).status_code == 403
    assert pages.operator.post(CHANGE, _csrf="x", value="5").status_code == 403
    assert pages.admin.post(CHANGE, value="5").status_code == 403
    assert pages.admin.json(ONE)["setting"]["version"] == 0
