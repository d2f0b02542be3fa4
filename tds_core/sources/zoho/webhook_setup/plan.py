"""What differs between the webhooks and rules TDS wants and those Zoho has, and the steps that mend it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from tds_core.sources.zoho.webhook_setup import desired
from tds_core.sources.zoho.webhook_setup.api import Webhook, WorkflowRule
from tds_core.sources.zoho.webhook_setup.desired import DesiredHook, UnservedEvent


class Drift(StrEnum):
    """One way in which what is there is not what should be there."""

    MISSING = "missing"
    NO_WEBHOOK = "no webhook"
    NO_RULE = "no rule"
    OTHER_URL = "other URL"
    OTHER_SECRET = "other secret"  # noqa: S105  (a word for people)
    SECRET_UNKNOWN = "secret unknown"  # noqa: S105
    OTHER_METHOD = "other method or module"
    OTHER_TRIGGER = "other trigger"
    OTHER_ACTION = "rule calls something else"
    INACTIVE = "inactive"
    NOT_WANTED = "not wanted"


class SetupStep(StrEnum):
    """One call that mends something. Their order is the order in which they are made."""

    CREATE_WEBHOOK = "create webhook"
    CHANGE_WEBHOOK = "change webhook"
    CREATE_RULE = "create rule"
    CHANGE_RULE = "change rule"
    ACTIVATE_RULE = "activate rule"
    DELETE_RULE = "delete rule"
    DELETE_WEBHOOK = "delete webhook"


_MENDS: dict[Drift, tuple[SetupStep, ...]] = {
    Drift.MISSING: (SetupStep.CREATE_WEBHOOK, SetupStep.CREATE_RULE),
    Drift.NO_WEBHOOK: (SetupStep.CREATE_WEBHOOK, SetupStep.CHANGE_RULE),
    Drift.NO_RULE: (SetupStep.CREATE_RULE,),
    Drift.OTHER_URL: (SetupStep.CHANGE_WEBHOOK,),
    Drift.OTHER_SECRET: (SetupStep.CHANGE_WEBHOOK,),
    Drift.SECRET_UNKNOWN: (SetupStep.CHANGE_WEBHOOK,),
    Drift.OTHER_METHOD: (SetupStep.CHANGE_WEBHOOK,),
    Drift.OTHER_TRIGGER: (SetupStep.CHANGE_RULE,),
    Drift.OTHER_ACTION: (SetupStep.CHANGE_RULE,),
    Drift.INACTIVE: (SetupStep.ACTIVATE_RULE,),
    Drift.NOT_WANTED: (SetupStep.DELETE_RULE, SetupStep.DELETE_WEBHOOK),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedHook:
    """One webhook with its rule: what is wanted (`None`: nothing), what is there, and how the two differ."""

    name: str
    hook: DesiredHook | None = None
    webhook: Webhook | None = None
    rule: WorkflowRule | None = None
    drifts: tuple[Drift, ...] = ()

    @property
    def steps(self) -> list[SetupStep]:
        """The calls that mend it, in their order."""
        needed = {step for drift in self.drifts for step in _MENDS[drift]}
        if self.hook is None:
            needed -= {SetupStep.DELETE_RULE} if self.rule is None else set()
            needed -= {SetupStep.DELETE_WEBHOOK} if self.webhook is None else set()
        return [step for step in SetupStep if step in needed]


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """All places, wanted or only there, and what there is no room for."""

    places: list[PlannedHook] = field(default_factory=list)
    lacking: list[UnservedEvent] = field(default_factory=list)

    @property
    def to_mend(self) -> list[PlannedHook]:
        """What differs; what is not wanted comes first, so that its room is free for what is."""
        return sorted((each for each in self.places if each.drifts), key=lambda place: place.hook is not None)

    @property
    def to_remove(self) -> list[PlannedHook]:
        """All that is there, as if none of it were wanted."""
        there = (each for each in self.places if each.webhook or each.rule)
        return [replace(each, hook=None, drifts=(Drift.NOT_WANTED,)) for each in there]

    @property
    def is_fulfilled(self) -> bool:
        """Whether there is nothing left to do or to wish for."""
        return not self.lacking and not any(place.drifts for place in self.places)


def compare(
    hooks: Sequence[DesiredHook], webhooks: Sequence[Webhook], rules: Sequence[WorkflowRule], *, secret: str
) -> list[PlannedHook]:
    """The places of `hooks`, and of what carries our names beside them. With no `secret` its drift is not told."""
    by_name = {each.webhook_name: each for each in reversed(webhooks)}
    rule_by_name = {each.workflow_name: each for each in reversed(rules)}
    places = [_place(hook, by_name.get(hook.name), rule_by_name.get(hook.name), secret) for hook in hooks]
    kept = {place.webhook.webhook_id for place in places if place.webhook}
    kept_rules = {place.rule.workflow_id for place in places if place.rule}
    beside = [each for each in rules if each.workflow_id not in kept_rules]
    spare = {each.webhook_id: each for each in webhooks if each.webhook_id not in kept}
    for rule in beside:
        webhook = next((spare.pop(key) for key in list(spare) if rule.calls(key)), None)
        places.append(PlannedHook(name=rule.workflow_name, webhook=webhook, rule=rule, drifts=(Drift.NOT_WANTED,)))
    places += [PlannedHook(name=each.webhook_name, webhook=each, drifts=(Drift.NOT_WANTED,)) for each in spare.values()]
    return places


def _place(hook: DesiredHook, webhook: Webhook | None, rule: WorkflowRule | None, secret: str) -> PlannedHook:
    if webhook is None and rule is None:
        drifts = [Drift.MISSING]
    else:
        drifts = [*_webhook_drifts(hook, webhook, secret), *_rule_drifts(hook, webhook, rule)]
    return PlannedHook(name=hook.name, hook=hook, webhook=webhook, rule=rule, drifts=tuple(drifts))


def _webhook_drifts(hook: DesiredHook, webhook: Webhook | None, secret: str) -> list[Drift]:
    if webhook is None:
        return [Drift.NO_WEBHOOK]
    known = desired.has_secret(webhook.description, secret) if secret else True
    differences = {
        Drift.OTHER_URL: webhook.url != hook.url,
        Drift.OTHER_METHOD: (webhook.method, webhook.entity) != ("POST", hook.module),
        Drift.OTHER_SECRET: known is False,
        Drift.SECRET_UNKNOWN: known is None,
    }
    return [drift for drift, differs in differences.items() if differs]


def _rule_drifts(hook: DesiredHook, webhook: Webhook | None, rule: WorkflowRule | None) -> list[Drift]:
    if rule is None:
        return [Drift.NO_RULE]
    differences = {
        Drift.OTHER_TRIGGER: (rule.rule_type, rule.entity) != (hook.rule_type, hook.module),
        Drift.OTHER_ACTION: webhook is not None and not rule.calls(webhook.webhook_id),
        Drift.INACTIVE: not rule.acts,
    }
    return [drift for drift, differs in differences.items() if differs]
