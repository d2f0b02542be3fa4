"""Bodies nothing is known of are shown without what stands under a personal name."""

import pytest

from tds_api.pages.common.masking import MASK, masked_body


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"email": "a@b.c", "name": "Shop"}', f'{{"email": "{MASK}", "name": "Shop"}}'),
        ('{"phone":"1\\"2","mobile":""}', f'{{"phone":"{MASK}","mobile":""}}'),
        ('{\\"email\\":\\"a@b.c\\"}', f'{{\\"email\\":\\"{MASK}\\"}}'),
        ("JSONString=%7B%22email%22%3A%22a%40b.c%22%7D", f"JSONString=%7B%22email%22%3A%22{MASK}%22%7D"),
        ('{"first_name":"cut of', f'{{"first_name":"{MASK}'),
    ],
)
def test_values_under_personal_names_are_masked_however_they_are_quoted(body: str, shown: str) -> None:
    assert masked_body(body) == shown
