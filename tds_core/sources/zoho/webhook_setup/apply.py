"""Plans the set-up of Zoho's webhooks and rules, and applies the plan."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tds_core.config.settings import Settings
from tds_core.errors import ConfigError, PermanentError
from tds_core.sources.zoho.responses import NameTakenError, NoSuchRecordError
from tds_core.sources.zoho.webhook_setup import desired
from tds_core.sources.zoho.webhook_setup.api import ApiClient, Automation, Webhook, WorkflowRule
from tds_core.sources.zoho.webhook_setup.desired import (
    CREATED,
    DELETED,
    UPDATED,
    DesiredHook,
    HookConventions,
    desired_hooks,
)
from tds_core.sources.zoho.webhook_setup.plan import PlannedHook, SetupPlan, SetupStep, compare
from tds_models.entities.declaration import Entity


@dataclass(frozen=True, slots=True)
class StepResult:
    """The steps applied to one planned hook, and the `problem` that stopped it, if any."""

    place: PlannedHook
    steps: tuple[SetupStep, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class WebhookInstaller:
    """Plans and applies; methods raise `SourceError`. `secret`: signs the webhooks."""

    automation: Automation
    conventions: HookConventions
    secret: str

    def plan(self, entities: Sequence[Entity]) -> SetupPlan:
        """Compare the webhooks and rules in Zoho with those desired for `entities`."""
        rules = self.automation.rules()
        webhooks = [
            self._whole(each) for each in self.automation.webhooks() if self.conventions.is_ours(each.webhook_name)
        ]
        ours = [self._whole_rule(each) for each in rules if self.conventions.is_ours(each.workflow_name)]
        others = Counter(each.entity for each in rules if not self.conventions.is_ours(each.workflow_name))
        hooks, lacking = desired_hooks(entities, self.conventions, others=others)
        return SetupPlan(compare(hooks, webhooks, ours, secret=self.secret), lacking)

    def apply(self, place: PlannedHook) -> StepResult:
        """Make the steps of `place`. A permanent refusal is returned as `problem`; other errors are raised."""
        made: list[SetupStep] = []
        webhook_id = place.webhook.webhook_id if place.webhook else ""
        try:
            for step in place.steps:
                webhook_id = self._make(step, place, webhook_id)
                made.append(step)
        except PermanentError as error:
            return StepResult(place, tuple(made), f"{place.steps[len(made)]}: {error}")
        return StepResult(place, tuple(made))

    def _make(self, step: SetupStep, place: PlannedHook, webhook_id: str) -> str:
        """Make one step. Returns the id of the place's webhook, known from then on."""
        if step in (SetupStep.DELETE_RULE, SetupStep.DELETE_WEBHOOK):
            self._delete(step, place)
        elif place.hook and step in (SetupStep.CREATE_WEBHOOK, SetupStep.CHANGE_WEBHOOK):
            return self._write_webhook(place.hook, webhook_id)
        elif place.hook and step in (SetupStep.CREATE_RULE, SetupStep.CHANGE_RULE):
            self.automation.write_rule(_rule_body(place.hook, webhook_id), place.rule.workflow_id if place.rule else "")
        elif place.rule:
            self.automation.activate(place.rule.workflow_id)
        return webhook_id

    def _write_webhook(self, hook: DesiredHook, webhook_id: str) -> str:
        body = {
            "webhook_name": hook.name,
            "entity": hook.module,
            "method": "POST",
            "url": hook.url,
            "secret": self.secret,
            "description": desired.description(self.secret),
        }
        try:
            return self.automation.write_webhook(body, webhook_id).webhook_id
        except NameTakenError:
            # Created concurrently, or missing in the list: change the existing one.
            existing = next((each for each in self.automation.webhooks() if each.webhook_name == hook.name), None)
            if existing is None or webhook_id:
                raise
            return self.automation.write_webhook(body, existing.webhook_id).webhook_id

    def _delete(self, step: SetupStep, place: PlannedHook) -> None:
        """Delete the rule or the webhook; one already deleted is no error."""
        with suppress(NoSuchRecordError):
            if step is SetupStep.DELETE_RULE and place.rule:
                self.automation.delete_rule(place.rule.workflow_id)
            elif step is SetupStep.DELETE_WEBHOOK and place.webhook:
                self.automation.delete_webhook(place.webhook.webhook_id)

    def _whole(self, webhook: Webhook) -> Webhook:
        return self.automation.webhook(webhook.webhook_id) if webhook.url is None else webhook

    def _whole_rule(self, rule: WorkflowRule) -> WorkflowRule:
        return self.automation.rule(rule.workflow_id) if rule.instant_actions is None else rule


def _rule_body(hook: DesiredHook, webhook_id: str) -> dict[str, object]:
    """The body of a rule. The action holds only the webhook's id: with more, Zoho would create a second webhook."""
    return {
        "workflow_name": hook.name,
        "description": "Kept by TDS (tds zoho webhooks).",
        "entity": hook.module,
        "rule_type": hook.rule_type,
        "instant_actions": [{"action_type": "webhook", "action_id": webhook_id}],
    }


def check_installable(settings: Settings) -> None:
    """Raise `ConfigError` naming the setting that setting up webhooks lacks, and how to make its value."""
    settings.require("TDS_PUBLIC_URL")
    if not settings.zoho_webhook_secret:
        raise ConfigError(
            "ZOHO_WEBHOOK_SECRET is not set. It takes 12 to 50 letters and digits; make one with: openssl rand -hex 24"
            "\nSet it for the API too, or nothing that arrives is believed."
        )


def open_installer(settings: Settings, client: ApiClient) -> WebhookInstaller:
    """The installer for the settings."""
    types = dict(zip((CREATED, UPDATED, DELETED), settings.zoho_rule_types.split(","), strict=True))
    conventions = HookConventions(settings.zoho_webhook_prefix, settings.public_url, types)
    return WebhookInstaller(Automation(client), conventions, settings.zoho_webhook_secret)
