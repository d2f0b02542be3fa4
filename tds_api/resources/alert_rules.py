"""Routes of alert rules: shown with their versions, tried on the past, changed and reset."""

from typing import Any

from sqlalchemy.orm import Session

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.alert_rules import (
    AlertRuleSchema,
    AlertRuleStorySchema,
    DryRunArgumentsSchema,
    DryRunSchema,
    TermsChangeSchema,
)
from tds_core.alerts import metric_samples, queries, rule_terms
from tds_core.alerts.rules import RULES, rule_of
from tds_models.auth import Role
from tds_models.db import session_scope


def alert_rule_routes(context: Context) -> Blueprint:
    """Alert rules."""
    routes = Blueprint("alert-rules", __name__, url_prefix="/api/tds/alert-rules", description="When alerts fire")

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, AlertRuleSchema(many=True))
    def listed() -> Any:
        """Every rule with its terms in force, and how many of its alerts are active."""
        with session_scope(context.engine) as session:
            return queries.rules(session, RULES)

    @routes.get("/<name>")
    @needs(Role.VIEWER)
    @routes.response(200, AlertRuleStorySchema)
    def one(name: str) -> Any:
        """One rule, with every version of its terms."""
        with session_scope(context.engine) as session:
            return _story(session, name)

    @routes.get("/<name>/dry-run")
    @needs(Role.VIEWER)
    @routes.arguments(DryRunArgumentsSchema, location="query")
    @routes.response(200, DryRunSchema)
    def dry_run(arguments: dict[str, Any], name: str) -> Any:
        """When the rule would have fired over the last days, by the values that were measured."""
        rule, days = rule_of(name), arguments.pop("days")
        with session_scope(context.engine) as session:
            terms = rule_terms.changed_terms(rule_terms.terms_in_force(session, [rule])[name], arguments)
            return metric_samples.dry_run(session, rule, terms, days=days)

    @routes.put("/<name>")
    @needs(Role.ADMIN)
    @routes.arguments(TermsChangeSchema)
    @routes.response(200, AlertRuleStorySchema)
    def change(arguments: dict[str, Any], name: str) -> Any:
        """Put other terms in force, from the next evaluation on; the earlier versions are kept."""
        reason, seen = arguments.pop("reason", None), arguments.pop("version", None)
        with session_scope(context.engine) as session:
            rule_terms.change(
                session, rule_of(name), arguments, by=principal_name(), reason=reason, seen_version=seen
            )  # fmt: skip
            return _story(session, name)

    @routes.post("/<name>/reset")
    @needs(Role.ADMIN)
    @routes.response(200, AlertRuleStorySchema)
    def reset(name: str) -> Any:
        """Put the declared terms in force again, and those of later versions of TDS with them."""
        with session_scope(context.engine) as session:
            rule_terms.reset(session, rule_of(name), by=principal_name())
            return _story(session, name)

    return routes


def _story(session: Session, name: str) -> dict[str, Any]:
    [shown] = queries.rules(session, [rule_of(name)])
    return {**shown, "versions": rule_terms.versions(session, name)}
