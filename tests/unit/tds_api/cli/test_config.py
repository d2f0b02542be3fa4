"""The configuration reference is made from the declarations and never by hand."""

from pathlib import Path

from tds_api.cli.config import reference
from tds_core.config.settings import DECLARATIONS

DOCUMENT = Path(__file__).parents[4] / "docs" / "configuration.md"


def test_the_reference_is_current() -> None:
    assert DOCUMENT.read_text() == reference(), "run: tds config --markdown > docs/configuration.md"


def test_the_reference_names_every_setting_once() -> None:
    text = reference()
    assert [text.count(f"| `{variable}` |") for variable in DECLARATIONS] == [1] * len(DECLARATIONS)
