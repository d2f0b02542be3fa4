"""The desired webhooks and workflow rules: one pair for each module and event, fewer where Zoho allows fewer rules.

Zoho never shows a webhook's secret again, so a fingerprint of it stands in the description.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tds_models.entities.declaration import Entity

_FINGERPRINT = re.compile(r"\bmark ([0-9a-f]{8})\b")


def description(secret: str) -> str:
    """The description of a webhook of TDS, with the fingerprint of its secret."""
    return f"Kept by TDS (tds zoho webhooks). Secret: mark {_fingerprint(secret)}"


def has_secret(text: str, secret: str) -> bool | None:
    """Whether the description `text` holds the fingerprint of `secret`; None if it holds none."""
    match = _FINGERPRINT.search(text)
    return None if match is None else hmac.compare_digest(match[1], _fingerprint(secret))


def _fingerprint(secret: str) -> str:
    return hmac.new(secret.encode(), b"tds webhook mark", hashlib.sha256).hexdigest()[:8]


CREATED, UPDATED, DELETED = "created", "updated", "deleted"
#: Zoho's caps on workflow rules.
RULES_PER_MODULE, RULES_PER_ORGANIZATION = 10, 200
#: The type of a rule triggered by new and by changed records.
ADD_EDIT = "add_edit"


@dataclass(frozen=True, slots=True)
class HookConventions:
    """Conventions of TDS's hooks: prefix of names, public address, and Zoho's rule type for each event."""

    prefix: str
    public_url: str
    rule_types: Mapping[str, str]

    def name(self, entity: str, event: str) -> str:
        """The name of a webhook and of its rule."""
        return f"{self.prefix} {entity} {event}"

    def is_ours(self, name: str) -> bool:
        """Whether a name follows the convention, also for entities TDS no longer mirrors."""
        return re.fullmatch(rf"{re.escape(self.prefix)} [a-z_]+ ({CREATED}|{UPDATED}|{DELETED})", name) is not None


@dataclass(frozen=True, slots=True)
class DesiredHook:
    """A desired webhook and its rule: `events` of `entity` trigger a rule of `rule_type` on `module`, posting to `url`.

    The rule and the webhook share `name`.
    """

    entity: str
    events: tuple[str, ...]
    module: str
    rule_type: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class UnservedEvent:
    """An event without a rule, because Zoho allows no more."""

    entity: str
    event: str
    says: str


def desired_hooks(
    entities: Sequence[Entity], conventions: HookConventions, *, others: Mapping[str, int]
) -> tuple[list[DesiredHook], list[UnservedEvent]]:
    """The desired hooks beside the rules of `others` (counts by module), and the events that get no rule."""
    with_rules = [each for each in entities if each.stream.rule_module]
    share = max(0, RULES_PER_ORGANIZATION - sum(others.values())) // max(1, len(with_rules))
    hooks: list[DesiredHook] = []
    lacking: list[UnservedEvent] = []
    for entity in with_rules:
        module = str(entity.stream.rule_module)
        of_module = RULES_PER_MODULE - others.get(module, 0)
        rules = _rules(min(of_module, share), conventions)
        hooks += [_hook(entity, module, events, rule_type, conventions) for events, rule_type in rules]
        heard = {event for events, _ in rules for event in events}
        says = _no_room(module, others) if of_module <= share else _no_room_at_all(others)
        lacking += [UnservedEvent(entity.name, each, says) for each in (CREATED, UPDATED, DELETED) if each not in heard]
    return hooks, lacking


def _rules(room: int, conventions: HookConventions) -> list[tuple[tuple[str, ...], str]]:
    """Events and rule type of each rule that `room` allows."""
    both, deleted = ((CREATED, UPDATED), ADD_EDIT), ((DELETED,), conventions.rule_types[DELETED])
    if room >= 3:
        return [((event,), conventions.rule_types[event]) for event in (CREATED, UPDATED, DELETED)]
    return [both, deleted][: max(0, room)]


def _hook(
    entity: Entity, module: str, events: tuple[str, ...], rule_type: str, conventions: HookConventions
) -> DesiredHook:
    event = events[-1]  # for what follows, created and updated make no difference
    url = f"{conventions.public_url.rstrip('/')}/api/tds/zoho/webhooks/{entity.name}/{event}"
    return DesiredHook(entity.name, events, module, rule_type, conventions.name(entity.name, event), url)


def _no_room(module: str, others: Mapping[str, int]) -> str:
    count = others.get(module, 0)
    return f"Zoho allows {RULES_PER_MODULE} rules for a module, and {module} has {count} others: delete one of them."


def _no_room_at_all(others: Mapping[str, int]) -> str:
    return f"Zoho allows {RULES_PER_ORGANIZATION} rules, and there are {sum(others.values())} others: delete some."
