"""Rendering of messages: templates by Jinja2, with an escape for every markup, shortened until a channel takes them."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

#: By turns, how many rules, alerts of each, lines of detail of each, and characters of a sentence are shown.
SHORTER = ((10, 10, 12, 500), (5, 5, 5, 500), (3, 3, 3, 300), (2, 2, 0, 300), (1, 1, 0, 300), (1, 1, 0, 80))
#: What CommonMark could read as markup, and what it reads as a list only where a line begins.
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#!|~&]|^[+-]|(?<=^\d)[.)])")

_EMPHASIS = re.compile(r"(?<![^\W_])[*_~]+|[*_~]+(?![^\W_])")


def markdown(text: object) -> str:
    """A text in which CommonMark finds no markup."""
    return _MARKUP.sub(r"\\\1", str(text))


def mrkdwn(text: object) -> str:
    """A text in which Slack finds no links, mentions, code or emphasis. Source: Slack, "Formatting message text".

    Slack has no escape for marks of emphasis. They stand at the edges of words: an invisible character keeps them off.
    """
    return _EMPHASIS.sub("\u200b\\g<0>\u200b", mrkdwn_code(text))


def mrkdwn_code(text: object) -> str:
    """A text for a span of code in Slack, which it cannot end."""
    return code(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: object) -> str:
    """A text for a span of code, which it cannot end."""
    return str(text).replace("`", "'")


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), undefined=StrictUndefined,
    autoescape=select_autoescape(["html"]), trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
_ENVIRONMENT.filters.update(markdown=markdown, mrkdwn=mrkdwn, mrkdwn_code=mrkdwn_code, code=code)


def rendered(template: str, message: object, *, longest: int = 0) -> str:
    """A message by a template, in at most `longest` bytes (0: any number): so much is shown as fits."""
    loaded = _ENVIRONMENT.get_template(template)
    text = ""
    for rules, alerts, details, words in SHORTER:
        shown = loaded.render(
            message=message, most_rules=rules, most_alerts=alerts, most_details=details, most_words=words
        )
        text = re.sub(r"\n{3,}", "\n\n", shown.strip())
        if not longest or len(text.encode()) <= longest:
            break
    return text
