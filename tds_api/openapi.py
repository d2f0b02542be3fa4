"""The OpenAPI 3 document of the API with its Swagger page, and the Blueprint class whose routes it describes."""

import json
from http import HTTPStatus
from typing import Any

import flask_smorest
from apispec import BasePlugin
from flask import Flask, Request, Response
from webargs.core import missing
from webargs.flaskparser import FlaskParser, is_json_request
from werkzeug.exceptions import HTTPException

from tds_api.auth.authentication import BEARER_SCHEME, SESSION_COOKIE, SESSION_SCHEME
from tds_api.auth.permissions import PermissionsPlugin
from tds_api.http.etags import IF_NONE_MATCH
from tds_api.http.json import read_json
from tds_api.http.problems import PROBLEM, problem_of_http
from tds_api.schemas.common import ProblemSchema
from tds_api.webhooks.endpoint import METHODS


class _Parser(FlaskParser):
    """Reads JSON arguments by `read_json`; malformed JSON is refused as such."""

    def _raw_load_json(self, req: Request) -> Any:
        body = req.get_data(cache=True) if is_json_request(req) else b""
        try:
            return read_json(body) if body else missing
        except ValueError as error:
            raise json.JSONDecodeError(str(error), " ", 0) from None


class Blueprint(flask_smorest.Blueprint):
    """A flask-smorest blueprint that reads JSON by our rules."""

    ARGUMENTS_PARSER = _Parser()


_SETTINGS = {
    "API_TITLE": "TSH Data Sync",
    "API_VERSION": "1",
    "OPENAPI_VERSION": "3.0.3",
    "OPENAPI_URL_PREFIX": "/api/tds",
    "OPENAPI_JSON_PATH": "openapi.json",
    "OPENAPI_SWAGGER_UI_PATH": "docs",
    "OPENAPI_SWAGGER_UI_URL": "/api/tds/static/swagger-ui/",
    "API_SPEC_OPTIONS": {
        "security": [{BEARER_SCHEME: []}, {SESSION_SCHEME: []}],
        "components": {
            "securitySchemes": {
                BEARER_SCHEME: {"type": "http", "scheme": "bearer"},
                SESSION_SCHEME: {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
            }
        },
    },
}

_WEBHOOK_PROBLEMS = {
    "400": "The body was cut short",
    "401": "No signature, or a wrong one",
    "404": "Unknown entity or event; kept as quarantined",
    "408": "The body came too slowly",
    "413": "Larger than TDS_WEBHOOK_MAX_BYTES",
    "415": "Neither JSON nor a form; kept as quarantined",
    "422": "Signed but not understood; kept as quarantined",
    "503": "Not stored: the database is away, or more comes than can be stored in time. Try again",
}


class SchemaConditionsPlugin(BasePlugin):
    """apispec plugin: adds conditions across fields, the schema class's `DESCRIBED`, to its component."""

    def schema_helper(self, name: str, definition: Any, **options: Any) -> dict[str, Any] | None:  # noqa: ARG002 (apispec's)
        """The addition to one component."""
        return getattr(options.get("schema"), "DESCRIBED", None)


class EtagPlugin(BasePlugin):
    """apispec plugin: describes the header of conditional reads for operations that may answer 304."""

    def operation_helper(self, path: Any = None, operations: Any = None, **options: Any) -> None:  # noqa: ARG002 (apispec's)
        """Complete the operations of one route, behind the parameters of its schemas."""
        for operation in (operations or {}).values():
            if "304" in {str(getattr(each, "value", each)) for each in operation.get("responses", {})}:
                operation.setdefault("parameters", []).append(IF_NONE_MATCH)


class Api(flask_smorest.Api):
    """flask-smorest with problem documents for errors."""

    ERROR_SCHEMA = ProblemSchema

    def _register_responses(self) -> None:
        """Describe error responses as problem documents."""
        for status in (*HTTPStatus, None):
            response: dict[str, Any] = {"description": status.phrase if status else "A refusal"}
            if status is None or status >= 400:
                response["content"] = {PROBLEM: {"schema": self.ERROR_SCHEMA}}
            name = status.name if status else self.DEFAULT_ERROR_RESPONSE_NAME
            self.spec.components.response(name, response, lazy=True)

    def handle_http_exception(self, error: HTTPException) -> Response | HTTPException:
        """See `tds_api.http.problems.problem_of_http`."""
        return problem_of_http(error)


def describe(app: Flask) -> Api:
    """The API document of `app`, which has the webhook routes already; other blueprints are registered on it."""
    app.config.update(_SETTINGS)
    api = Api(app, spec_kwargs={"extra_plugins": [PermissionsPlugin(app), EtagPlugin(), SchemaConditionsPlugin()]})
    for endpoint, with_event in (("webhooks.take", True), ("webhooks.take_any", False)):
        for rule in app.url_map.iter_rules(endpoint):
            operations = {m.lower(): _webhook_operation(with_event=with_event) for m in sorted(METHODS)}
            api.spec.path(rule=rule, operations=operations)
    return api


def _webhook_operation(*, with_event: bool) -> dict[str, Any]:
    answer = {
        "type": "object",
        "properties": {"event_id": {"type": "string"}, "duplicate": {"type": "boolean"}},
    }
    content = {"application/json": {"schema": answer}}
    parameters = [] if with_event else [_optional_query(name) for name in ("entity", "event")]
    return {
        "tags": ["webhooks"],
        "summary": "Receive a webhook of Zoho",
        "description": "Durable before the answer. Signed with X-Zoho-Webhook-Signature or X-Zoho-Signature.",
        "security": [],
        "parameters": parameters,
        "requestBody": {
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
            }
        },
        "responses": {
            "202": {"description": "A new event", "content": content},
            "200": {"description": "Received before; the first event's id", "content": content},
            **{
                status: {
                    "description": meaning,
                    "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
                for status, meaning in _WEBHOOK_PROBLEMS.items()
            },
        },
    }


def _optional_query(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
