"""Codes that are being claimed live in memory, for a quarter of an hour, and are gone without a trace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from server.refusal import Refusal
from server.service.claim_memory import STEPS_MAX, ClaimMemory

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=15)
KEY = bytes(range(16))


def test_a_key_lives_until_its_end() -> None:
    memory = ClaimMemory()
    memory.hold("c", KEY, LATER, NOW)
    assert memory.key("c", NOW) == KEY
    assert memory.key("c", LATER - timedelta(microseconds=1)) == KEY
    with pytest.raises(Refusal) as refused:
        memory.key("c", LATER)
    assert refused.value.code == "claim_expired"
    memory.hold("d", KEY, LATER + timedelta(minutes=15), LATER)
    assert len(memory) == 1


def test_a_forgotten_key_is_gone_and_its_steps_stay() -> None:
    memory = ClaimMemory()
    memory.hold("c", KEY, LATER, NOW)
    memory.note("c", "asked", "x", NOW)
    memory.forget("c")
    with pytest.raises(Refusal):
        memory.key("c", NOW)
    assert [step.step for step in memory.steps("c")] == ["asked"]
    assert KEY.hex() not in repr(memory._held)
    assert repr(KEY) not in repr(memory._held)


def test_one_carrier_at_a_time() -> None:
    memory = ClaimMemory()
    memory.hold("c", KEY, LATER, NOW)
    memory.begin_carrying("c", NOW)
    with pytest.raises(Refusal) as refused:
        memory.begin_carrying("c", NOW)
    assert refused.value.code == "carry_busy"
    memory.end_carrying("c")
    memory.begin_carrying("c", NOW)


def test_nothing_grows_without_end() -> None:
    memory = ClaimMemory(limit=10)
    for n in range(100):
        memory.hold(str(n), KEY, LATER, NOW)
    assert len(memory) == 10
    assert memory.key("99", NOW) == KEY
    for n in range(1000):
        memory.note("99", f"step-{n}", "x", NOW)
    assert len(memory.steps("99")) == STEPS_MAX
    for _ in range(5):
        memory.note("99", "tag_not_heard", "x", NOW)
    assert [step.step for step in memory.steps("99")].count("tag_not_heard") == 1
    memory.note("unknown", "x", "x", NOW)
    assert memory.steps("unknown") == ()
