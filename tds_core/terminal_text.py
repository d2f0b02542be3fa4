"""Text that a terminal shows and does not obey: control characters, escape sequences, marks of direction made visible.

Names, numbers and errors come from outside. What a terminal would act upon (colours, titles, the clipboard, the order
of letters) is spelled out instead, so that two texts that differ look different, too.
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
    """The text with what a terminal would obey spelled out, as `\\x1b`; tabs and line ends stay."""
    return text if text.isprintable() else _UNSAFE.sub(_spelled, text)


def shown_in_line(text: str) -> str:
    """The same where the text must not end its line: line ends and tabs are spelled out, too."""
    return text if text.isprintable() else _UNSAFE_IN_LINE.sub(_spelled, text)


def shown_json(text: str) -> str:
    """The same document with what a terminal would obey as JSON's own escapes: it reads as the same value."""
    return text if text.isascii() else _UNSAFE.sub(_escaped, text)


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _escaped(found: re.Match[str]) -> str:
    character = ord(found[0])
    if character <= 0xFFFF:
        return f"\\u{character:04x}"
    high, low = divmod(character - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
