"""The texts of the pages in the reader's language: the catalogues under `translations`, and how one is chosen."""

from collections.abc import Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import g, has_request_context, request

LANGUAGE_COOKIE: Final = "tds_language"
#: The languages with a catalogue; English stands in the templates.
LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "ar": "العربية"}
_RIGHT_TO_LEFT = frozenset({"ar"})
_CATALOGUES = Path(__file__).resolve().parents[2] / "translations"


@cache
def catalogue(language: str) -> NullTranslations:
    """The translations of a language; what it lacks stays English."""
    path = _CATALOGUES / f"{language}.po"
    if not path.exists():
        return NullTranslations()
    compiled = BytesIO()
    with path.open("rb") as source:
        write_mo(compiled, read_po(source, locale=language))
    compiled.seek(0)
    return Translations(compiled)


def language() -> str:
    """The language of the reader: chosen on a page, else the first of the browser's that has a catalogue."""
    if not has_request_context():
        return "en"
    if "language" not in g:
        chosen = request.cookies.get(LANGUAGE_COOKIE, "")
        preferred = request.accept_languages.best_match(list(LANGUAGES), "en")
        g.language = chosen if chosen in LANGUAGES else preferred
    return str(g.language)


def direction() -> str:
    """The direction of writing, as HTML's `dir` has it."""
    return "rtl" if language() in _RIGHT_TO_LEFT else "ltr"


def gettext(text: str) -> str:
    """`text` in the reader's language."""
    return str(catalogue(language()).gettext(text))


def ngettext(one: str, many: str, count: int) -> str:
    """The form of a text that fits `count`, in the reader's language."""
    return str(catalogue(language()).ngettext(one, many, count))
