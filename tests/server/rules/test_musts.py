"""What each story must find, by which local day at the latest: the story's own expectations must not be softer.

`test_replay` plays the stories against what they expect; here stands what they have to expect. A day means before it is
over in the story's zone; a moment means that moment.
"""

from __future__ import annotations

from datetime import datetime

import pytest

from server.rules.findings.registry import CATALOGUE
from tests.server.rules.story import read_story

RADIO = {rule.id for rule in CATALOGUE.values() if rule.needs_radio}

MUST: dict[str, list[tuple[str, str, int]]] = {
    # (rule, the latest local moment, how often)
    "T": [
        ("R-02", "2016-11-08 00:00", 2), ("R-17", "2016-12-02 11:20", 2), ("R-22", "2017-01-06 23:59", 4),
        ("R-03", "2016-12-03 14:20", 1), ("R-12", "2016-12-07 00:00", 1), ("R-12", "2016-12-19 23:59", 3),
        ("R-12", "2017-01-07 00:00", 4), ("R-07", "2016-12-16 23:59", 1), ("R-06", "2016-12-16 23:59", 1),
        ("R-19", "2016-12-19 23:59", 1), ("R-08", "2016-12-19 23:59", 1), ("R-18", "2016-12-23 23:59", 1),
        ("R-21", "2016-12-23 23:59", 1), ("R-24", "2017-01-07 00:00", 1), ("R-28", "2017-01-07 00:00", 1),
    ],
    "T2": [("R-35", "2016-12-02 11:20", 2), ("R-02", "2016-11-08 00:00", 2), ("R-03", "2016-12-03 14:20", 1)],
    "P": [],
    "O": [
        ("R-09", "2010-10-20 14:00", 1), ("R-15", "2010-10-20 23:59", 1), ("R-15", "2010-10-21 09:00", 2),
        ("R-15", "2010-10-21 23:59", 3), ("R-10", "2010-10-21 19:01", 1), ("R-11", "2010-10-21 15:00", 1),
        ("R-21", "2010-10-22 23:59", 1), ("R-16", "2010-10-22 14:00", 1), ("R-25", "2010-10-25 23:59", 1),
    ],
    "C": [
        ("R-14", "2008-12-23 00:00", 1), ("R-04", "2008-12-23 00:00", 1), ("R-19", "2008-12-26 23:59", 1),
        ("R-13", "2008-12-26 23:59", 1), ("R-23", "2008-12-26 23:59", 1),
    ],
    "F": [
        ("R-01", "2026-03-05 23:59", 1), ("R-20", "2026-03-05 23:59", 1), ("R-12", "2026-03-13 23:59", 1),
        ("R-22", "2026-03-13 23:59", 1),
    ],
    "L": [("R-24", "2026-04-09 16:01", 1), ("R-12", "2026-04-09 16:01", 1)],
    "G": [],
    "S": [("R-34", "2026-11-14 23:59", 1)],
}  # fmt: skip
NEVER = {"T2": RADIO, "P": {"*"}, "G": {"*"}, "S": {"R-17"}, "C": {"R-10"}}


@pytest.mark.parametrize("letter", MUST)
def test_a_story_expects_what_it_must(letter: str) -> None:
    expected = read_story(letter).expect.get("findings", [])
    for rule, latest, count in MUST[letter]:
        by_then = [f for f in expected if f["rule"] == rule and f["latest"] <= datetime.fromisoformat(latest)]
        assert len(by_then) >= count, f"{letter}: {rule} by {latest}"


@pytest.mark.parametrize("letter", NEVER)
def test_a_story_forbids_what_it_must(letter: str) -> None:
    assert set(read_story(letter).expect["never"]) >= NEVER[letter]


def test_every_physical_step_of_a_story_in_which_all_is_well_ends_proved() -> None:
    at_end = read_story("G").expect["at_end"]["steps"]
    assert set(at_end.values()) == {"proved"}
    assert {"packed", "left", "accepted", "on_the_way", "delivered", "claimed", "activated"} <= set(at_end)
