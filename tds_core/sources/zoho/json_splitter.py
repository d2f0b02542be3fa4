"""Splits JSON text by its brackets alone, so that one unreadable value does not make the others unreadable."""

import re
from collections.abc import Iterator

import msgspec

# Strings are skipped whole: brackets and commas in them have no meaning.
_MARK = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.S)
_MEMBER = re.compile(rb'\s*("[^"\\]*(?:\\.[^"\\]*)*")\s*:\s*(.*?)\s*', re.S)
_OPENING, _CLOSING = b"[{", b"]}"


def members(text: bytes) -> dict[str, bytes]:
    """The values of a JSON object by their keys, each as it came. Raises `ValueError` for what is no whole object."""
    found = {}
    for part in _parts(text, b"{}"):
        member = _MEMBER.fullmatch(part)
        if member is None:
            raise ValueError("not a JSON object")
        found[_key(member[1])] = member[2]
    return found


def elements(text: bytes) -> list[bytes]:
    """The elements of a JSON array, each as it came. Raises `ValueError` for what is no whole array."""
    return list(_parts(text, b"[]"))


def _key(spelled: bytes) -> str:
    try:
        return msgspec.json.decode(spelled, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return spelled.decode("ascii", "backslashreplace")  # no key that is looked for


def _parts(text: bytes, brackets: bytes) -> Iterator[bytes]:
    """What stands between the outermost commas of a text in `brackets`."""
    text = text.strip()
    if not (text.startswith(brackets[:1]) and text.endswith(brackets[1:])):
        raise ValueError(f"not in {brackets.decode()}")
    begin = 1
    for comma in [*_outermost_commas(text), len(text) - 1]:
        if begin > 1 or text[begin:comma].strip():
            yield text[begin:comma].strip()
        begin = comma + 1


def _outermost_commas(text: bytes) -> list[int]:
    """Where they stand in a text in brackets. Raises `ValueError` when it does not end with its last bracket."""
    depth, commas = 0, []
    for mark in _MARK.finditer(text):
        if mark[0] in _OPENING:
            depth += 1
        elif mark[0] in _CLOSING:
            depth -= 1
        elif mark[0] == b"," and depth == 1:
            commas.append(mark.start())
        if depth == 0:
            break
    if depth or mark.end() != len(text):
        raise ValueError("it does not end where it should")
    return commas
