"""What the door does with everything else: sizes, rates, headers, nonsense, breakages, and one shape for all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from server.refusal import Refusal
from server.service.refusals import WORDS, refuse
from server.web.errors import STATUS, as_json, status_of
from server.web.limits import BODY_MAX, Rate, RateLimiter
from tests.server.web.town import START, Town

BASE = "/api/v1"


def test_headers_of_every_answer(town: Town) -> None:
    for path in (f"{BASE}/me", "/health", "/nowhere", f"{BASE}/openapi.json"):
        headers = town.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert "strict-transport-security" not in headers  # plain http


def test_unknown_addresses_and_methods(town: Town) -> None:
    nobody = town.nobody()
    nobody.refused("GET", "/nowhere", 404, "not_found")
    nobody.refused("PATCH", "/tags", 405, "method_not_allowed")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"email": 5}', b"[" * 5000])
def test_bodies_that_cannot_be_read(town: Town, body: bytes) -> None:
    answer = town.client.post(f"{BASE}/session", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["code"] == "bad_request"


def test_what_was_sent_is_not_repeated(town: Town) -> None:
    answer = town.client.post(f"{BASE}/session", json={"email": "nope", "password": "hunter2hunter2"})
    assert answer.status_code == 422
    assert "hunter2" not in answer.text
    assert "nope" not in answer.text


def test_too_large(town: Town) -> None:
    announced = town.client.post(f"{BASE}/session", content=b"x" * (BODY_MAX + 1))
    assert announced.status_code == 413
    assert announced.json()["error"]["code"] == "too_large"

    def endless() -> Iterator[bytes]:
        for _ in range(BODY_MAX // 65_536 + 2):
            yield b"x" * 65_536

    for path in (f"{BASE}/session", f"{BASE}/gateways/enrol"):
        unannounced = town.client.post(path, content=endless())
        assert unannounced.status_code == 413, path
        assert unannounced.headers["x-content-type-options"] == "nosniff"


def test_a_breakage_shows_a_reference_and_nothing_else(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from server.service import whereabouts

    def broken(*_: Any) -> None:
        raise RuntimeError("secret detail 48.1234")

    monkeypatch.setattr(whereabouts, "tags", broken)
    ann = town.owner()
    with capture_logs() as logged:
        error = ann.refused("GET", "/tags", 500, "broken")
        answer = ann.call("GET", "/tags")
    assert logged[0]["reference"] == error["reference"]
    assert logged[0]["event"] == "request_broke"
    assert "secret detail" not in str(error)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_without_a_database_it_is_alive_and_not_ready(town: Town) -> None:
    from server.store import db
    from server.web.app import create_app

    town.house.engine = db.engine("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    client = TestClient(create_app(town.house))
    assert client.get("/health").json() == {"status": "ok"}
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "not_ready"


def test_ready(town: Town) -> None:
    assert town.nobody().get("/ready")["status"] == "ready"


def test_rates_are_by_caller(town: Town) -> None:
    ann, ben = town.owner(), town.owner("ben@example.com")
    codes = [ann.call("GET", "/tags").status_code for _ in range(605)]
    assert codes.count(200) == 600
    assert codes[-1] == 429
    assert ben.call("GET", "/tags").status_code == 200
    refused = ann.call("GET", "/tags")
    assert refused.headers["retry-after"]
    town.wait(minutes=1)
    assert ann.call("GET", "/tags").status_code == 200


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def test_a_bucket_refills_evenly() -> None:
    clock = Clock()
    rates = RateLimiter(clock, {"r": Rate(3, 30)})
    for _ in range(3):
        rates.take("r", "a")
    with pytest.raises(Refusal) as refused:
        rates.take("r", "a")
    assert refused.value.code == "too_many"
    assert "Wait 10 seconds" in refused.value.do
    rates.take("r", "b")
    clock.now += timedelta(seconds=10)
    rates.take("r", "a")
    with pytest.raises(Refusal):
        rates.take("r", "a")
    assert rates.refused == {"r": 2}


def test_a_request_may_be_worth_several() -> None:
    clock = Clock()
    rates = RateLimiter(clock, {"r": Rate(3, 30)})
    rates.take("r", "a", 2)
    with pytest.raises(Refusal) as refused:
        rates.take("r", "a", 3)
    assert "Wait 20 seconds" in refused.value.do
    rates.take("r", "a")  # what was refused took nothing
    with pytest.raises(Refusal):
        rates.take("r", "a")


def test_the_limiter_forgets_rather_than_grows() -> None:
    clock = Clock()
    rates = RateLimiter(clock, {"r": Rate(1, 60)}, limit=100)
    for caller in range(1_000):
        rates.take("r", str(caller))
    assert len(rates._level) == 100
    clock.now -= timedelta(hours=1)  # a clock that is set back must not lock anybody out for long
    with pytest.raises(Refusal):
        rates.take("r", "999")
    clock.now += timedelta(hours=1, minutes=2)
    rates.take("r", "999")


def test_every_refusal_has_words_and_a_status() -> None:
    for code, words in WORDS.items():
        blanks = {part.partition("}")[0] for part in (words.message + words.do).split("{")[1:]}
        refusal = refuse(code, **{blank: "x" for blank in blanks if blank != "reference"})
        assert words.kind in STATUS
        assert 400 <= status_of(refusal) < 600
        body = as_json(refusal)["error"]
        assert body["code"] == code
        assert body["message"].endswith((".", "x", ")")), code
        assert body["do"], code
        json.dumps(body)


def test_every_refusal_that_a_route_names_is_in_its_description(town: Town) -> None:
    described = town.client.get(f"{BASE}/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            assert route.get("summary"), f"{method} {path}"
            assert route.get("description"), f"{method} {path} does not say what it does"
            for status, answer in route["responses"].items():
                if status.startswith(("4", "5")) and status != "422":
                    examples = answer["content"]["application/json"]["examples"]
                    assert all(code in WORDS for code in examples), path
    assert described["info"]["title"] == "Hearsight"
