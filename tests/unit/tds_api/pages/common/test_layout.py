"""Hints that name a command lead to the page that does the same."""

import pytest

from tds_api.pages.common.layout import page_of_command


@pytest.mark.parametrize(
    ("hint", "path"),
    [
        ("See: tds findings; then: tds findings resolve ID", "/dashboard/findings"),
        ("tds dead-letter list --entity product", "/dashboard/dead-letters"),
        ("tds doctor, then tds zoho quota", "/dashboard/quota"),
        ("tds doctor", None),
        ("", None),
    ],
)
def test_a_hint_leads_to_the_page_of_its_first_command_that_has_one(hint: str, path: str | None) -> None:
    entry = page_of_command(hint)
    assert (entry.path if entry else None) == path
