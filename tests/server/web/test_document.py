"""The description of the API tells the truth: who may call what, with bodies and parameters that work as they stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter

from server.web.document import accesses_of
from tests.server.web.test_access import TABLE
from tests.server.web.town import Town

# Shown as roles of nobody's account.
MORE = {"order_link", "loopback"}


@pytest.fixture
def document(town: Town) -> dict[str, Any]:
    answer = town.client.get("/api/v1/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, each in document["paths"].items():
        for method, operation in each.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_says_who_may_call_it_and_what_they_show(document: dict[str, Any]) -> None:
    told = {route: set(operation["x-roles"]) - MORE for route, operation in operations(document)}
    assert told == TABLE
    for route, operation in operations(document):
        open_to_all = {} in operation["security"]
        assert open_to_all == (bool({"anonymous", "loopback"} & set(operation["x-roles"]))), route


def test_every_body_has_an_example_that_fits(town: Town, document: dict[str, Any]) -> None:
    app = town.client.app
    assert isinstance(app, FastAPI)
    bodies = {
        f"{method} {context.path}": context.body_field
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
        if getattr(context, "body_field", None) is not None
    }
    tried = 0
    for route, operation in operations(document):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            if media != "application/json":
                continue
            reference = content["schema"].get("$ref", "")
            schema = document["components"]["schemas"][reference.rpartition("/")[2]] if reference else content["schema"]
            examples = schema.get("examples", [])
            assert examples, f"{route} has no example"
            for each in examples if reference else ():  # a webhook's body is read as it comes, for its signature
                TypeAdapter(bodies[route].field_info.annotation).validate_python(each, strict=False)
                tried += 1
    assert tried >= 20


def test_every_parameter_has_an_example(document: dict[str, Any]) -> None:
    bare = [
        f"{route} {parameter['name']}"
        for route, operation in operations(document)
        for parameter in operation.get("parameters", ())
        if not _explained(parameter)
    ]
    assert bare == []


def _explained(parameter: dict[str, Any]) -> bool:
    schema = parameter["schema"]
    ways = [schema, *schema.get("anyOf", ())]
    return (
        any(key in way for way in (parameter, *ways) for key in ("example", "examples", "enum", "$ref"))
        or schema.get("type") == "boolean"
        or "default" in schema
    )


def test_every_refusal_is_told_in_the_one_shape(document: dict[str, Any]) -> None:
    for route, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status.startswith("2"):
                continue
            content = answer["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/ErrorBody"}, f"{route} {status}"
            assert content["examples"], f"{route} {status} has no example"
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_wherever_one_must_sign_in_a_token_may_not_be_valid(document: dict[str, Any]) -> None:
    told = {
        route: set(operation["responses"]["401"]["content"]["application/json"]["examples"])
        for route, operation in operations(document)
        if "401" in operation["responses"]
    }
    guarded = {route: codes for route, codes in told.items() if "sign_in_needed" in codes}
    assert guarded
    assert [route for route, codes in guarded.items() if "token_invalid" not in codes] == []


def test_times_of_day_have_no_offset(document: dict[str, Any]) -> None:
    assert "'format': 'time'" not in str(document)


def test_every_route_is_declared_to_the_description(town: Town) -> None:
    app = town.client.app
    assert isinstance(app, FastAPI)
    assert {f"{method.upper()} {path}" for method, path in accesses_of(app)} >= set(TABLE)
