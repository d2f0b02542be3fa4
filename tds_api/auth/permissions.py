"""Permissions: what each route needs, named where the route is declared, and told in the description of the API."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from apispec import BasePlugin
from flask import Flask

from tds_api.http.problems import PROBLEM
from tds_models.auth import Role

View = TypeVar("View", bound=Callable[..., Any])
Permission = Role | str

ANYBODY: Final = "anybody"
#: The route decides by itself: a signature, a state that was given out, a form of its own.
ITSELF: Final = "itself"

_MARK = "tds_permission"
#: Routes of libraries, which we do not declare.
_OF_LIBRARIES: dict[str, Permission] = {
    "static": ANYBODY,
    "api-docs.openapi_json": Role.VIEWER,
    "api-docs.openapi_swagger_ui": Role.VIEWER,
}


def needs(permission: Permission) -> Callable[[View], View]:
    """Name what a route needs; put it under the route's line."""

    def mark(view: View) -> View:
        setattr(view, _MARK, permission)
        return view

    return mark


def named_permission(app: Flask, endpoint: str) -> Permission | None:
    """What a route says it needs; None when it says nothing."""
    return getattr(app.view_functions[endpoint], _MARK, None) or _OF_LIBRARIES.get(endpoint)


def permission_of(app: Flask, endpoint: str) -> Permission:
    """What a route needs. One that says nothing is for administrators alone."""
    return named_permission(app, endpoint) or Role.ADMIN


class PermissionsTold(BasePlugin):
    """Adds to each described operation who may call it, and what everybody else is answered."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def operation_helper(self, path: Any = None, operations: Any = None, **given: Any) -> None:  # noqa: ARG002 (apispec's)
        """Complete the operations of one route."""
        permission = permission_of(self._app, given["rule"].endpoint)
        for method, operation in (operations or {}).items():
            operation["x-permission"] = str(permission)
            if permission in (ANYBODY, ITSELF):
                operation["security"] = []
                continue
            _answer(operation, "401", "Nobody known asks")
            _answer(operation, "403", f"Needs the role {permission}, a scope that reaches here, or a CSRF token")
            _answer(operation, "429", "More than is allowed in this time; Retry-After says when to ask again")
            if method != "get":
                operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
                _answer(operation, "409", "Cannot be done as things are, or the first such request has no answer yet")
                _answer(operation, "422", "Arguments that make no sense, or an Idempotency-Key of another request")


_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the request safe to send twice: the second is answered as the first was, for 24 hours",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
}


def _answer(operation: dict[str, Any], status: str, meaning: str) -> None:
    responses = operation.setdefault("responses", {})
    if status not in {str(getattr(each, "value", each)) for each in responses}:
        schema = {"$ref": "#/components/schemas/Problem"}
        responses[status] = {"description": meaning, "content": {PROBLEM: {"schema": schema}}}
