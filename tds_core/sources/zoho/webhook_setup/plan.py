"""The plan of a webhook set-up: differences between desired and existing hooks, and the steps that remove them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from tds_core.sources.zoho.webhook_setup import desired
from tds_core.sources.zoho.webhook_setup.api import Webhook, WorkflowRule
from tds_core.sources.zoho.webhook_setup.desired import DesiredHook, UnservedEvent


class HookDifference(StrEnum):
    """One way in which an existing hook differs from the desired one."""

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
    """One call of the set-up. The order of the members is the order of the calls."""

    CREATE_WEBHOOK = "create webhook"
    CHANGE_WEBHOOK = "change webhook"
    CREATE_RULE = "create rule"
    CHANGE_RULE = "change rule"
    ACTIVATE_RULE = "activate rule"
    DELETE_RULE = "delete rule"
    DELETE_WEBHOOK = "delete webhook"


_STEPS: dict[HookDifference, tuple[SetupStep, ...]] = {
    HookDifference.MISSING: (SetupStep.CREATE_WEBHOOK, SetupStep.CREATE_RULE),
    HookDifference.NO_WEBHOOK: (SetupStep.CREATE_WEBHOOK, SetupStep.CHANGE_RULE),
    HookDifference.NO_RULE: (SetupStep.CREATE_RULE,),
    HookDifference.OTHER_URL: (SetupStep.CHANGE_WEBHOOK,),
    HookDifference.OTHER_SECRET: (SetupStep.CHANGE_WEBHOOK,),
    HookDifference.SECRET_UNKNOWN: (SetupStep.CHANGE_WEBHOOK,),
    HookDifference.OTHER_METHOD: (SetupStep.CHANGE_WEBHOOK,),
    HookDifference.OTHER_TRIGGER: (SetupStep.CHANGE_RULE,),
    HookDifference.OTHER_ACTION: (SetupStep.CHANGE_RULE,),
    HookDifference.INACTIVE: (SetupStep.ACTIVATE_RULE,),
    HookDifference.NOT_WANTED: (SetupStep.DELETE_RULE, SetupStep.DELETE_WEBHOOK),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedHook:
    """One webhook with its rule: desired (None: to be removed), existing, and how the two differ."""

    name: str
    hook: DesiredHook | None = None
    webhook: Webhook | None = None
    rule: WorkflowRule | None = None
    drifts: tuple[HookDifference, ...] = ()

    @property
    def steps(self) -> list[SetupStep]:
        """The calls that make it as desired, in their order."""
        needed = {step for drift in self.drifts for step in _STEPS[drift]}
        if self.hook is None:
            needed -= {SetupStep.DELETE_RULE} if self.rule is None else set()
            needed -= {SetupStep.DELETE_WEBHOOK} if self.webhook is None else set()
        return [step for step in SetupStep if step in needed]


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """All hooks, desired or existing, and the events that get no rule."""

    places: list[PlannedHook] = field(default_factory=list)
    lacking: list[UnservedEvent] = field(default_factory=list)

    @property
    def to_apply(self) -> list[PlannedHook]:
        """Hooks that differ; removals come first, since they free rules for the others."""
        return sorted((each for each in self.places if each.drifts), key=lambda place: place.hook is not None)

    @property
    def to_remove(self) -> list[PlannedHook]:
        """All existing hooks, planned for removal."""
        existing = (each for each in self.places if each.webhook or each.rule)
        return [replace(each, hook=None, drifts=(HookDifference.NOT_WANTED,)) for each in existing]

    @property
    def is_fulfilled(self) -> bool:
        """Whether every desired hook exists and every event has a rule."""
        return not self.lacking and not any(place.drifts for place in self.places)


def compare(
    hooks: Sequence[DesiredHook], webhooks: Sequence[Webhook], rules: Sequence[WorkflowRule], *, secret: str
) -> list[PlannedHook]:
    """Plan the desired `hooks` against existing ones with TDS's names. Without `secret`, secrets are not compared."""
    by_name = {each.webhook_name: each for each in reversed(webhooks)}
    rule_by_name = {each.workflow_name: each for each in reversed(rules)}
    places = [_place(hook, by_name.get(hook.name), rule_by_name.get(hook.name), secret) for hook in hooks]
    kept = {place.webhook.webhook_id for place in places if place.webhook}
    kept_rules = {place.rule.workflow_id for place in places if place.rule}
    beside = [each for each in rules if each.workflow_id not in kept_rules]
    spare = {each.webhook_id: each for each in webhooks if each.webhook_id not in kept}
    for rule in beside:
        webhook = next((spare.pop(key) for key in list(spare) if rule.calls(key)), None)
        places.append(
            PlannedHook(name=rule.workflow_name, webhook=webhook, rule=rule, drifts=(HookDifference.NOT_WANTED,))
        )
    places += [
        PlannedHook(name=each.webhook_name, webhook=each, drifts=(HookDifference.NOT_WANTED,))
        for each in spare.values()
    ]
    return places


def _place(hook: DesiredHook, webhook: Webhook | None, rule: WorkflowRule | None, secret: str) -> PlannedHook:
    if webhook is None and rule is None:
        drifts = [HookDifference.MISSING]
    else:
        drifts = [*_webhook_drifts(hook, webhook, secret), *_rule_drifts(hook, webhook, rule)]
    return PlannedHook(name=hook.name, hook=hook, webhook=webhook, rule=rule, drifts=tuple(drifts))


def _webhook_drifts(hook: DesiredHook, webhook: Webhook | None, secret: str) -> list[HookDifference]:
    if webhook is None:
        return [HookDifference.NO_WEBHOOK]
    known = desired.has_secret(webhook.description, secret) if secret else True
    differences = {
        HookDifference.OTHER_URL: webhook.url != hook.url,
        HookDifference.OTHER_METHOD: (webhook.method, webhook.entity) != ("POST", hook.module),
        HookDifference.OTHER_SECRET: known is False,
        HookDifference.SECRET_UNKNOWN: known is None,
    }
    return [drift for drift, differs in differences.items() if differs]


def _rule_drifts(hook: DesiredHook, webhook: Webhook | None, rule: WorkflowRule | None) -> list[HookDifference]:
    if rule is None:
        return [HookDifference.NO_RULE]
    differences = {
        HookDifference.OTHER_TRIGGER: (rule.rule_type, rule.entity) != (hook.rule_type, hook.module),
        HookDifference.OTHER_ACTION: webhook is not None and not rule.calls(webhook.webhook_id),
        HookDifference.INACTIVE: not rule.is_on,
    }
    return [drift for drift, differs in differences.items() if differs]
