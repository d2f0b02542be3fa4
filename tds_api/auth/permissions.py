"""Permissions: what each route needs, declared beside the route and published in the API description."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from apispec import BasePlugin
from flask import Flask

from tds_api.http.problems import PROBLEM
from tds_models.auth import Role

View = TypeVar("View", bound=Callable[..., Any])
Permission = Role | str

ANYBODY: Final = "anybody"
#: The route checks by itself: a signature, the state of a consent, a form key.
ITSELF: Final = "itself"

_MARK, _OUTAGE_MARK = "tds_permission", "tds_answers_during_outages"
#: Routes of libraries, which we do not declare.
_OF_LIBRARIES: dict[str, Permission] = {
    "static": ANYBODY,
    "api-docs.openapi_json": Role.VIEWER,
    "api-docs.openapi_swagger_ui": Role.VIEWER,
}


def needs(permission: Permission) -> Callable[[View], View]:
    """Declare the permission a route needs; the decorator goes below the route's."""

    def mark(view: View) -> View:
        setattr(view, _MARK, permission)
        return view

    return mark


def answers_during_outages(view: View) -> View:
    """Declare that a route also answers while PostgreSQL is away, to sessions it authenticated shortly before."""
    setattr(view, _OUTAGE_MARK, True)
    return view


def does_answer_during_outages(app: Flask, endpoint: str) -> bool:
    """Whether a route declares that."""
    return bool(getattr(app.view_functions[endpoint], _OUTAGE_MARK, False))


def declared_permission(app: Flask, endpoint: str) -> Permission | None:
    """The permission a route declares; None without a declaration."""
    return getattr(app.view_functions[endpoint], _MARK, None) or _OF_LIBRARIES.get(endpoint)


def permission_of(app: Flask, endpoint: str) -> Permission:
    """The permission a route needs; without a declaration it is for administrators only."""
    return declared_permission(app, endpoint) or Role.ADMIN


class PermissionsPlugin(BasePlugin):
    """apispec plugin: adds to each operation its permission and the refusals that follow from it."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def operation_helper(self, path: Any = None, operations: Any = None, **options: Any) -> None:  # noqa: ARG002 (apispec's)
        """Complete the operations of one route."""
        permission = permission_of(self._app, options["rule"].endpoint)
        for method, operation in (operations or {}).items():
            operation["x-permission"] = str(permission)
            if permission in (ANYBODY, ITSELF):
                operation["security"] = []
                continue
            _add_response(operation, "401", "Not authenticated: send an API key or log in")
            _add_response(
                operation,
                "403",
                f"Not allowed: needs the role {permission}, a scope with this path, and in a session the CSRF token",
            )
            _add_response(operation, "429", "Too many requests; Retry-After says when to try again")
            if method != "get":
                operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
                _add_response(
                    operation,
                    "409",
                    "Conflicts with the current state, or the first request of this key has no response yet",
                )
                _add_response(operation, "422", "Invalid arguments, or an Idempotency-Key that another request used")


_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the request safe to repeat: for 24 hours a repeat gets the response of the first",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
}


def _add_response(operation: dict[str, Any], status: str, meaning: str) -> None:
    responses = operation.setdefault("responses", {})
    if status not in {str(getattr(each, "value", each)) for each in responses}:
        schema = {"$ref": "#/components/schemas/Problem"}
        responses[status] = {"description": meaning, "content": {PROBLEM: {"schema": schema}}}
