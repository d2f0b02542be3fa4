"""The page of all routes, from the description the API itself gives."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from tds_api.app import create_app
from tds_core.config.settings import load_settings
from tests.support.reference.markdown import cell, code, page, table

OPENING = """Made from the OpenAPI document (`make reference`), which a running TDS has at `/api/tds/openapi.json`,
with a page to try it at `/api/tds/docs`. How lists, errors and times are written says
[api.md](../api.md), which role may do what [access.md](../access.md). Paths begin with `/api/tds`.
What a route takes is in its last column: names of the query, then `body:` with the fields of the body,
required ones in bold."""
METHODS = ("get", "post", "put", "patch", "delete")
PREFIX = "/api/tds"


def description() -> dict[str, Any]:
    """The OpenAPI document of an API that was never asked, so that no server is needed."""
    nowhere = {"TDS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "TDS_REDIS_URL": "redis://127.0.0.1:1"}
    app = create_app(load_settings(nowhere), nudge=lambda _entity: None)
    return dict(app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict())


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of each operation, without what all methods of a path share."""
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                shared = methods.get("parameters", [])
                yield path, method, {**methods[method], "parameters": [*shared, *methods[method].get("parameters", [])]}


def fields(document: Mapping[str, Any], operation: Mapping[str, Any]) -> list[str]:
    """The names of the fields of a JSON body, required ones in bold."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    required = schema.get("required", ())
    return [f"**{code(name)}**" if name in required else code(name) for name in schema.get("properties", {})]


def taken(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    """What an operation takes beside its path, in Markdown."""
    query = [code(each["name"]) for each in operation["parameters"] if each.get("in") == "query"]
    body = fields(document, operation)
    return "; ".join(filter(None, (", ".join(query), f"body: {', '.join(body)}" if body else "")))


def role(operation: Mapping[str, Any]) -> str:
    """Who may ask: a role, or anybody; what Zoho sends has its signature."""
    return str(operation.get("x-permission") or ("signed" if "webhooks" in operation["tags"] else "anybody"))


def routes_page() -> str:
    """The page, as it should stand in `docs/reference/routes.md`."""
    document = description()
    rows: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for path, method, operation in operations(document):
        called = code(f"{method.upper()} {path.removeprefix(PREFIX)}")
        sentence = cell(operation.get("summary", ""))
        rows[operation["tags"][0]].append((called, role(operation), sentence, taken(document, operation)))
    meanings = {each["name"]: each["description"] for each in document["tags"]}
    lines: list[str] = []
    for tag in sorted(rows):
        title = meanings.get(tag, "Webhooks of Zoho")
        lines += [f"## {title}", "", *table(("route", "role", "does", "takes"), rows[tag])]
    return page("Every route", OPENING, lines)
