"""Whatever fits the API's own description gets an answer that the description tells of, in status, type and shape.

Never a 500, and never a surprise.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from server.rules.authority import Role
from tests.server.web.test_orders import refuted
from tests.server.web.town import Somebody, Town

# With 25 and more examples of each route nothing was found; a few keep it so without costing minutes.
EXAMPLES = 4
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


def test_no_request_of_the_described_shape_breaks_anything(town: Town) -> None:
    refuted(town)
    owner, operator, tag = town.owner(), town.staff(Role.OPERATOR), town.tag()
    town.claim(owner, tag)
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", town.client.app)
    broken = [
        wrong
        for found in schema.get_all_operations()
        for who in (owner, operator)
        for wrong in asked(town, found.ok(), who)  # type: ignore[union-attr]  # a bad description raises here
    ]
    assert broken == []


def _words(wrong: BaseException) -> str:
    inner = wrong.exceptions if isinstance(wrong, FailureGroup) else (wrong,)
    return "; ".join(str(each).replace("\n", " ") for each in inner)


def asked(town: Town, operation: Any, who: Somebody) -> list[str]:
    """What broke when this caller asked one route in many ways."""
    broken: list[str] = []

    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        town.wait(seconds=30)  # so that rates refuse nothing
        answer = case.call(headers=who.headers())
        if answer.status_code >= 500 and answer.status_code != 503:
            broken.append(f"{operation.label}: {case.as_curl_command()[:500]}")
        try:
            case.validate_response(answer, checks=CHECKS)
        except (Failure, FailureGroup) as wrong:
            broken.append(f"{operation.label} answered {answer.status_code}: {_words(wrong)[:700]}")

    ask()
    return broken
