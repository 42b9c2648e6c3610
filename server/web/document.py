"""The API's own description (OpenAPI): what FastAPI reads off the routes, completed by what it cannot know.

That is: who may call each route and what they show for it, and the one shape in which a body that does not fit is
refused. Times of day have no offset here (a pickup at 17:00 is one in the site's zone), so they are told as text of a
shape: OpenAPI's format `time` asks for an offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from server.web.api.models import refusals
from server.web.auth import ANONYMOUS, COOKIE, CSRF_HEADER, LINK_HEADER, Access

JsonObject = dict[str, Any]

SCHEMES: Final[JsonObject] = {
    "token": {"type": "http", "scheme": "bearer", "description": "A personal API token, made in the settings."},
    "session": {
        "type": "apiKey", "in": "cookie", "name": COOKIE,
        "description": f"A browser's session; what changes something wants the header {CSRF_HEADER} as well.",
    },
    "order_link": {
        "type": "apiKey", "in": "header", "name": LINK_HEADER,
        "description": "The token of a link that opens one order for reading.",
    },
}  # fmt: skip
TIME_OF_DAY: Final = r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?$"
_METHODS: Final = ("get", "put", "post", "delete", "patch")


def install(app: FastAPI) -> None:
    """Have the application describe itself wholly; the description is made once, when it is first asked for."""
    plain = app.openapi

    def whole() -> JsonObject:
        if app.openapi_schema is None:
            complete(plain(), accesses_of(app))
        assert app.openapi_schema is not None, "made a moment ago"
        return app.openapi_schema

    app.openapi = whole  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def accesses_of(app: FastAPI) -> dict[tuple[str, str], Access]:
    """The declaration of every route of FastAPI's, by (method in small letters, path)."""
    found: dict[tuple[str, str], Access] = {}
    for context in iter_route_contexts(app.routes):
        dependant = getattr(context, "dependant", None)
        if isinstance(dependant, Dependant):
            for access in _declared(dependant):
                found |= {(method.lower(), context.path or ""): access for method in context.methods or ()}
    return found


def _declared(dependant: Dependant) -> Iterator[Access]:
    declared: object = dependant.call
    if isinstance(declared, Access):
        yield declared
    for inner in dependant.dependencies:
        yield from _declared(inner)


def complete(document: JsonObject, accesses: dict[tuple[str, str], Access]) -> None:
    """Add to a description, in place, what FastAPI left out."""
    document["components"]["securitySchemes"] = SCHEMES
    for path, operations in document["paths"].items():
        for method in set(operations) & set(_METHODS):
            _say_who(operations[method], accesses[method, path])
            _say_what_does_not_fit(operations[method])
            _say_the_shape(operations[method])
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    _times_of_day(document)


def _say_who(operation: JsonObject, access: Access) -> None:
    operation["x-roles"] = sorted(access.allowed)
    ways: list[JsonObject] = [{"token": []}, {"session": []}]
    if "order_link" in access.allowed:
        ways.append({"order_link": []})
    if ANONYMOUS in access.allowed or "loopback" in access.allowed:
        ways.append({})
    operation["security"] = ways


def _say_what_does_not_fit(operation: JsonObject) -> None:
    """FastAPI tells of a shape of its own; ours is that of every refusal."""
    takes_something = operation.get("requestBody") or operation.get("parameters")
    if not takes_something:
        return
    [(status, ours)] = refusals("bad_request").items()
    there = operation["responses"].get(str(status))
    if there is None or "HTTPValidationError" in str(there):
        operation["responses"][str(status)] = {key: value for key, value in ours.items() if key != "model"}
        return
    examples = ours["content"]["application/json"]["examples"]
    there["content"]["application/json"].setdefault("examples", {}).update(examples)
    there["description"] = f"`bad_request`, {there['description']}"


def _say_the_shape(operation: JsonObject) -> None:
    """FastAPI leaves it out where the answer itself is no JSON."""
    for status, answer in operation["responses"].items():
        if not status.startswith("2"):
            answer["content"]["application/json"]["schema"] = {"$ref": "#/components/schemas/ErrorBody"}


def _times_of_day(part: Any) -> None:
    if isinstance(part, dict):
        if part.get("type") == "string" and part.get("format") == "time":
            del part["format"]
            part["pattern"] = TIME_OF_DAY
        for inner in part.values():
            _times_of_day(inner)
    elif isinstance(part, list):
        for inner in part:
            _times_of_day(inner)
