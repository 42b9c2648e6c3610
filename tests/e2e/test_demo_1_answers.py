"""`make demo` as a newcomer uses it: the answers of both stories, the curl lines as printed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.conftest import Demo
from wire.activation import verify_answer

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("demo", ["embedded", "mosquitto"], indirect=True),
]
AGENT, CUSTOMER = "ash.agent@example.org", "rowan.ellery@example.org"
GOOD, BAD, TAG = "HS-2026-1107", "HS-2016-0311", 7001001
PHYSICAL = ["packed", "left", "accepted", "on_the_way", "delivered", "claimed", "activated"]


def test_every_step_of_the_good_story_is_proved_and_nothing_is_found(demo: Demo) -> None:
    answer = demo.api(AGENT).get(f"/orders/{GOOD}").json()
    verdicts = {step["step"]: step["verdict"] for step in answer["steps"]}
    assert {step: verdicts[step] for step in PHYSICAL} == dict.fromkeys(PHYSICAL, "proved")
    assert answer["findings"] == []


def test_dispatched_is_refuted_by_sightings_in_the_story_of_the_tag_that_never_left(demo: Demo) -> None:
    answer = demo.api(AGENT).get(f"/orders/{BAD}").json()
    said = [each for each in answer["verdicts"] if each["kind"] == "dispatched"]
    assert [each["verdict"] for each in said] == ["refuted", "refuted"]
    assert all(fact["kind"] == "sighting" for each in said for fact in each["evidence"])
    assert all(each["evidence"] for each in said)
    rules = {finding["rule"]["id"] for finding in answer["findings"]}
    assert {"R-02", "R-04", "R-05", "R-12", "R-17"} <= rules
    assert answer["replayed"]


def test_customer_and_support_read_the_same(demo: Demo) -> None:
    agent = demo.api(AGENT)
    support, customer = (agent.get(f"/orders/{BAD}{what}").json() for what in ("", "/customer"))
    for answer in (support, customer):
        answer["shown"]["reasons"] = []  # the newest hearing may fall between the two questions
        for slot in answer["shown"]["slots"]:
            slot["reasons"] = []
    assert support["shown"] == customer["shown"]


def test_the_present_is_heard_live_through_bleak(demo: Demo) -> None:
    heard = demo.wait_heard(CUSTOMER, TAG)
    assert datetime.now(UTC) - datetime.fromisoformat(heard["last"]["heard_at"]) < timedelta(minutes=3)
    gateways = {each["gateway"]: each["word"] for each in demo.api(AGENT).get("/gateways").json()}
    assert gateways["home-elm"] == gateways["wh-shelf"] == "hearing"


def test_the_receipt_checks_offline(demo: Demo) -> None:
    receipt = demo.api(CUSTOMER).get(f"/tags/{TAG}/receipt").json()
    key, challenge, answer = (bytes.fromhex(receipt[name]) for name in ("tag_public_key", "challenge", "answer"))
    assert verify_answer(key, challenge, answer).serial == TAG


def test_the_five_curl_lines_work_as_they_stand(demo: Demo) -> None:
    lines = [line for line in demo.said().splitlines() if line.startswith("curl ")]
    assert len(lines) == 5
    for line in lines:
        done = subprocess.run(shlex.split(line), capture_output=True, check=True)
        assert "error" not in json.loads(done.stdout), line


def test_a_lost_tag_that_is_heard_sends_a_letter_without_a_place(demo: Demo) -> None:
    demo.api(CUSTOMER).post(f"/tags/{TAG}/lost", json={"message": "Please call", "contact": ""}).raise_for_status()
    until = time.monotonic() + 120
    while not (letters := [text for text in _letters(demo.data) if "was heard" in text]):
        assert time.monotonic() < until, "no letter came"
        time.sleep(1)
    assert "To: rowan.ellery@example.org" in letters[0]
    assert not re.search(r"35\.61|-82\.55", letters[0])


def _letters(data: Path) -> list[str]:
    return [each.read_text() for each in sorted((data / "letters").iterdir())]


def test_a_tag_was_made_before_it_was_heard(demo: Demo) -> None:
    life = demo.api(AGENT).get(f"/support/tags/{TAG}").json()
    states = [state["step"] for state in life["states"]]
    assert states[:3] == ["manufactured", "keyed", "stocked"]
    assert states[-1] == "activated"
