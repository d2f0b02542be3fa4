"""Terminal output of foreign text: control characters, escape sequences and direction marks are made visible.

Names and errors come from outside. Whatever a terminal would act upon (colours, titles, the clipboard, the order of
letters) is escaped, so that different texts also look different.
"""

import re

#: C0 and C1 but tab and line feed, half characters, marks and overrides of direction, what has no width, line and
#: paragraph separators, tags.
_OBEYED = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_UNSAFE = re.compile(f"[{_OBEYED}]")
_UNSAFE_IN_LINE = re.compile(f"[{_OBEYED}\t\n]")


def shown(text: str) -> str:
    """The text with control characters escaped, as `\\x1b`; tabs and line ends stay."""
    return text if text.isprintable() else _UNSAFE.sub(_spelled, text)


def shown_in_line(text: str) -> str:
    """The same, with line ends and tabs escaped as well."""
    return text if text.isprintable() else _UNSAFE_IN_LINE.sub(_spelled, text)


def shown_json(text: str) -> str:
    """A JSON document with control characters as JSON escapes; its value stays the same."""
    return text if text.isascii() else _UNSAFE.sub(_escaped, text)


def _spelled(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _escaped(match: re.Match[str]) -> str:
    character = ord(match[0])
    if character <= 0xFFFF:
        return f"\\u{character:04x}"
    high, low = divmod(character - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
