"""Rendering of messages: templates by Jinja2, with an escape for every markup, shortened until a channel takes them."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

#: By turns, how many rules, alerts of each, and lines of detail of each are shown.
SHORTER = ((10, 10, 12), (5, 5, 5), (3, 3, 3), (2, 2, 0), (1, 1, 0))
#: What CommonMark could read as markup, and what it reads as a list only where a line begins.
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#!|~&]|^[+-]|(?<=^\d)[.)])")


def markdown(text: object) -> str:
    """A text in which CommonMark finds no markup."""
    return _MARKUP.sub(r"\\\1", str(text))


def mrkdwn(text: object) -> str:
    """A text in which Slack finds no links, mentions, code or emphasis. Source: Slack, "Formatting message text".

    Slack knows no escape for marks of emphasis, so an invisible character keeps each from its word.
    """
    return re.sub(r"[*_~]", "\u200b\\g<0>\u200b", mrkdwn_code(text))


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
    """A message by a template, in at most `longest` characters (0: any number): so many alerts are shown as fit."""
    loaded = _ENVIRONMENT.get_template(template)
    text = ""
    for rules, alerts, details in SHORTER:
        text = loaded.render(message=message, most_rules=rules, most_alerts=alerts, most_details=details).strip()
        text = re.sub(r"\n{3,}", "\n\n", text)
        if not longest or len(text) <= longest:
            break
    return text
