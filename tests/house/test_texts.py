"""Texts of pages: none stands in a template outside the catalogue, and the Arabic one has all of the first pages."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

import tds_api

_PACKAGE = Path(tds_api.__file__).parent
TEMPLATES = _PACKAGE / "templates"
#: Pages that only whoever installs TDS sees, once.
OF_INSTALLATION = {"connecting.html", "leaving.html", "token.html"}
#: The pages a whole catalogue begins with, and what surrounds them.
FIRST = ["dashboard.html", "macros.html", "overview.html", "login.html", "page.html", "problem.html"]
#: Names, which are the same in every language.
_NAMES = {
    "TDS",
    "TSH",
    "Data",
    "Sync",
    "JSON",
    "CSV",
    "UTC",
    "PostgreSQL",
    "Redis",
    "Ctrl",
    "Enter",
    "Zoho",
    "NAME",
    "ID",
}
_TRANSLATED = re.compile(r"{%-?\s*trans\b.*?{%-?\s*endtrans\s*-?%}", re.DOTALL)
_JINJA = re.compile(r"{#.*?#}|{%.*?%}|{{.*?}}", re.DOTALL)
_MACHINE = re.compile(r"<(code|kbd|script|pre)\b[^>]*>.*?</\1>", re.DOTALL)
_READ_OUT = re.compile(r'\b(?:placeholder|title|aria-label|alt)="([^"]*)"')
_TAG = re.compile(r"<[^>]*>", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]{2,}")


def words_outside(template: str) -> list[str]:
    """Words a reader would see, or hear, that no catalogue can replace."""
    bare = _JINJA.sub(" ", _TRANSLATED.sub(" ", _MACHINE.sub(" ", template)))
    seen = " ".join(_READ_OUT.findall(bare)) + " " + _TAG.sub(" ", bare)
    return [word for word in _WORD.findall(re.sub(r"&\w+;", " ", seen)) if word not in _NAMES]


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_every_text_is_in_the_catalogue(path: Path) -> None:
    if path.name not in OF_INSTALLATION:
        assert words_outside(path.read_text()) == []


def test_a_text_beside_the_catalogue_is_found() -> None:
    assert words_outside('<p title="Look here">{% trans %}fine{% endtrans %} not fine {{ value }}</p>') == [
        "Look", "here", "not", "fine",
    ]  # fmt: skip


def test_the_first_pages_are_whole_in_arabic() -> None:
    with (_PACKAGE / "translations" / "ar.po").open("rb") as source:
        catalogue = read_po(source, locale="ar")
    texts = {
        text if isinstance(text, str) else text[0]
        for name in FIRST
        for _, text, _, _ in extract_from_file("jinja2.ext.babel_extract", TEMPLATES / name)
    }
    texts |= {
        str(text)
        for module in ("common/layout.py", "overview.py")
        for _, text, _, _ in extract_from_file(
            "python", _PACKAGE / "pages" / module, keywords={"N_": None, "gettext": None}
        )
    }
    missing = {text for text in texts if not (catalogue.get(text) and catalogue.get(text).string)}  # type: ignore[union-attr]
    assert missing == set()
