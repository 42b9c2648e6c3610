"""Story files for tests of rules: read by their letter; and the same facts, all learnt late."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import datetime

from server.rules.facts import OrderFacts
from server.rules.story.reader import Story, story_of
from tests.conftest import ROOT

STORIES = ROOT / "firmware_sim" / "stories"


def read_story(name: str, weeks: int = 0) -> Story:
    """Read a story by its letter, shifted by whole weeks in its own zone."""
    with (STORIES / f"{name}.toml").open("rb") as file:
        return story_of(tomllib.load(file), weeks)


def late(facts: OrderFacts, learnt_at: datetime) -> OrderFacts:
    """The same facts, all of which reached us only at `learnt_at`."""
    return replace(
        facts,
        statements=tuple(replace(s, learnt_at=learnt_at) for s in facts.statements),
        acts=tuple(replace(a, learnt_at=learnt_at) for a in facts.acts),
        heard=tuple(replace(h, first_reached_at=learnt_at, reached_us_at=learnt_at) for h in facts.heard),
    )
