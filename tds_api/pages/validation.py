"""The pages of data validation: which records break a rule, by entity, of integrity and of orphans; and findings."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, make_response, redirect
from werkzeug.exceptions import NotFound

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.answer import Answer
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.masking import MASK, answered, personal_names
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_core.validation.report import INTEGRITY, ORPHANS, SUBJECTS
from tds_models.auth import Role
from tds_models.entities import ENTITIES

_ROUTE = "data-validation"
#: Reports that anybody who may look may ask for; that of an entity is begun by operators.
_SHOWN = (INTEGRITY, ORPHANS)


def validation_pages() -> Blueprint:
    """Validation and findings."""
    routes = Blueprint("validation pages", __name__, url_prefix=HOME)

    @routes.get("/validation")
    @needs(Role.VIEWER)
    def validation() -> Response:
        """What can be validated, and the reports that were made in the background."""
        frame = PageFrame(template="validation.html", title=gettext("Validation"), rows="reports", refresh_seconds=5)
        parts = {"reports": ApiClient.of_request().get(f"{_ROUTE}/reports", **arguments())}
        return dashboard_page(frame, parts, subjects=SUBJECTS, shown=_SHOWN)

    @routes.get("/validation/<subject>")
    @needs(Role.VIEWER)
    def report(subject: str) -> Response:
        """The records that break a rule now; of many records, the report a worker makes."""
        if subject not in SUBJECTS:
            raise NotFound(f"There is nothing called {subject} to validate.")
        api = ApiClient.of_request()
        if subject not in _SHOWN and api.needed_role("POST", f"{_ROUTE}/{subject}"):
            return make_response(redirect(f"{HOME}/validation?subject={subject}", 303))
        answer = api.get(f"{_ROUTE}/{subject}") if subject in _SHOWN else api.ask(f"{_ROUTE}/{subject}")
        if answer.status == 202:
            return make_response(redirect(f"{HOME}/validation/reports/{answer.data['id']}", 303))
        return _report(subject, answer, answer.data if answer else None)

    @routes.get("/validation/reports/<int:report_id>")
    @needs(Role.VIEWER)
    def stored(report_id: int) -> Response:
        """A report made in the background: its progress, and what it found."""
        answer = ApiClient.of_request().get(f"{_ROUTE}/reports/{report_id}")
        subject = answer.data["subject"] if answer else gettext("Report")
        return _report(subject, answer, answer.data["report"] if answer else None)

    @routes.get("/findings")
    @needs(Role.VIEWER)
    def findings() -> Response:
        """What a person should know of the records; the open ones, unless all are asked for."""
        given = arguments()
        is_open = given.pop("open", "true")
        found = ApiClient.of_request().get("findings", **given, open=None if is_open == "all" else is_open)
        frame = PageFrame(template="findings.html", title=gettext("Findings"), rows="findings", refresh_seconds=10)
        return dashboard_page(
            frame, {"findings": found}, is_open=is_open, entities=list(ENTITIES), subject_address=subject_address
        )

    return routes


def _report(subject: str, answer: Answer, report: Mapping[str, Any] | None) -> Response:
    issues = [_issue(each, subject) for each in report["issues"]] if report else []
    shown = answer
    if report:
        brief = {**report, "issues": issues}
        shown = answered(answer, {**answer.data, "report": brief} if "report" in answer.data else brief)
    is_made = answer and "state" in answer.data and answer.data["state"] in ("waiting", "running")
    title = gettext("Validation: %(subject)s") % {"subject": _title(subject)}
    frame = PageFrame(
        template="validation_report.html", title=title, rows="issues", refresh_seconds=2 if is_made else None
    )
    parts = {"answer": shown, "issues": answered(answer, issues) if answer else answer}
    return dashboard_page(frame, parts, report=report, subject=subject, is_made=is_made)


def _title(subject: str) -> str:
    return ENTITIES[subject].title if subject in ENTITIES else gettext(subject)


def _issue(issue: Mapping[str, Any], subject: str) -> dict[str, Any]:
    """The issue with the entity of its record; the value of a personal field masked."""
    entity, field = (subject, issue["field"]) if subject in ENTITIES else _parted(issue["field"])
    is_personal = entity in ENTITIES and field.rpartition(".")[2] in personal_names(entity)
    value = MASK if is_personal and issue["current_value"] else issue["current_value"]
    return {"entity": entity, **issue, "current_value": value}


def _parted(field: str) -> tuple[str, str]:
    entity, _, rest = field.partition(".")
    return entity, rest


def subject_address(finding: Mapping[str, Any]) -> str:
    """Where what a finding is about is seen: its comparison, its record, or its entity."""
    entity, subject = finding["entity"], str(finding["subject"])
    if entity not in ENTITIES:
        return ""
    if finding["kind"].startswith("comparison"):
        return f"{HOME}/comparison?entity={entity}"
    return f"{HOME}/entities/{entity}/{subject}" if subject.isdigit() else f"{HOME}/entities/{entity}"
