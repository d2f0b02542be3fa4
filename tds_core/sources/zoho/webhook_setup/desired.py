"""Which webhooks and workflow rules TDS wants: one of each for a module and event, fewer where Zoho has less room.

The mark of a webhook's secret: Zoho never shows the secret again, so its mark stands in the description.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tds_models.entities.base import Entity

_MARK = re.compile(r"\bmark ([0-9a-f]{8})\b")


def description(secret: str) -> str:
    """What a webhook of ours says about itself."""
    return f"Kept by TDS (tds zoho webhooks). Secret: mark {_mark(secret)}"


def has_secret(text: str, secret: str) -> bool | None:
    """Whether a webhook described so has this secret; `None` when its description does not tell."""
    found = _MARK.search(text)
    return None if found is None else hmac.compare_digest(found[1], _mark(secret))


def _mark(secret: str) -> str:
    return hmac.new(secret.encode(), b"tds webhook mark", hashlib.sha256).hexdigest()[:8]


CREATED, UPDATED, DELETED = "created", "updated", "deleted"
#: Zoho's caps on workflow rules.
RULES_PER_MODULE, RULES_PER_ORGANIZATION = 10, 200
#: The type of a rule that hears of new and of changed records.
ADD_EDIT = "add_edit"


@dataclass(frozen=True, slots=True)
class HookConventions:
    """What makes our webhooks ours: how their names begin, where they lead, what Zoho calls the types of rules."""

    prefix: str
    public_url: str
    rule_types: Mapping[str, str]

    def name(self, entity: str, event: str) -> str:
        """The name of a webhook and of its rule."""
        return f"{self.prefix} {entity} {event}"

    def is_ours(self, name: str) -> bool:
        """Whether a name is one we give, also for an entity we no longer know."""
        return re.fullmatch(rf"{re.escape(self.prefix)} [a-z_]+ ({CREATED}|{UPDATED}|{DELETED})", name) is not None


@dataclass(frozen=True, slots=True)
class DesiredHook:
    """A webhook with its rule: `events` of `entity`, heard by a rule of `rule_type` for Zoho's `module`, go to `url`.

    The rule and the webhook have one `name`.
    """

    entity: str
    events: tuple[str, ...]
    module: str
    rule_type: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class UnservedEvent:
    """An event nobody will tell of, because Zoho allows no more rules."""

    entity: str
    event: str
    says: str


def desired_hooks(
    entities: Sequence[Entity], terms: HookConventions, *, others: Mapping[str, int]
) -> tuple[list[DesiredHook], list[UnservedEvent]]:
    """What should be there beside the rules of `others`, counted by module; and what there is no room for."""
    with_rules = [each for each in entities if each.stream.rule_module]
    share = max(0, RULES_PER_ORGANIZATION - sum(others.values())) // max(1, len(with_rules))
    hooks: list[DesiredHook] = []
    lacking: list[UnservedEvent] = []
    for entity in with_rules:
        module = str(entity.stream.rule_module)
        of_module = RULES_PER_MODULE - others.get(module, 0)
        rules = _rules(min(of_module, share), terms)
        hooks += [_hook(entity, module, events, rule_type, terms) for events, rule_type in rules]
        heard = {event for events, _ in rules for event in events}
        says = _no_room(module, others) if of_module <= share else _no_room_at_all(others)
        lacking += [UnservedEvent(entity.name, each, says) for each in (CREATED, UPDATED, DELETED) if each not in heard]
    return hooks, lacking


def _rules(room: int, terms: HookConventions) -> list[tuple[tuple[str, ...], str]]:
    """Events and rule type of each rule that `room` allows."""
    both, deleted = ((CREATED, UPDATED), ADD_EDIT), ((DELETED,), terms.rule_types[DELETED])
    if room >= 3:
        return [((event,), terms.rule_types[event]) for event in (CREATED, UPDATED, DELETED)]
    return [both, deleted][: max(0, room)]


def _hook(entity: Entity, module: str, events: tuple[str, ...], rule_type: str, terms: HookConventions) -> DesiredHook:
    event = events[-1]  # for what follows, created and updated make no difference
    url = f"{terms.public_url.rstrip('/')}/api/tds/zoho/webhooks/{entity.name}/{event}"
    return DesiredHook(entity.name, events, module, rule_type, terms.name(entity.name, event), url)


def _no_room(module: str, others: Mapping[str, int]) -> str:
    count = others.get(module, 0)
    return f"Zoho allows {RULES_PER_MODULE} rules for a module, and {module} has {count} others: delete one of them."


def _no_room_at_all(others: Mapping[str, int]) -> str:
    return f"Zoho allows {RULES_PER_ORGANIZATION} rules, and there are {sum(others.values())} others: delete some."
