"""Story R: an own mistake, one remedy for everybody it hit; and that the story's player can see it go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from server.rules.authority import Role
from server.rules.policy import SOLO
from server.rules.story import run as story_run
from server.rules.story.run import StoryRun, failures, play
from tests.server.rules.story import read_story


@pytest.fixture(scope="module")
def run() -> StoryRun:
    found = read_story("R").run
    assert found is not None
    return found


def test_each_is_refunded_once_and_told_once_wherever_it_is_killed(run: StoryRun) -> None:
    for after in range(1, 8):
        again = replace(run, killed_after=(after,))
        assert list(failures(again, play(again, SOLO))) == [], after


def test_killed_after_every_single_payment(run: StoryRun) -> None:
    always = replace(run, killed_after=tuple(range(1, 8)))
    played = play(always, SOLO)
    assert list(failures(always, played)) == []
    assert (played.kills, sum(played.paid.values()), sum(played.told.values())) == (7, 7, 7)


def test_who_may_not_approve_starts_nothing(run: StoryRun) -> None:
    lead = replace(run, approved_as=Role.LEAD)
    told = list(failures(lead, play(lead, SOLO)))
    assert "the run must be approved once; it was 0 times" in told
    assert "HS-2026-0501 must be refunded 1 times; it was 0 times" in told


def test_a_run_without_keys_would_be_seen(run: StoryRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The player pays twice as soon as a key is another one at the second asking."""
    names: Iterator[int] = iter(range(1000))
    monkeypatch.setattr(story_run, "key_of", lambda run, order: f"{order}:{next(names)}")
    told = list(failures(run, play(run, SOLO)))
    assert any("it was 2 times" in each for each in told)
