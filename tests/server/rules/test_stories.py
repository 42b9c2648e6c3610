"""The stories of the order design, weighed at every moment at which anything could change.

A rule that does not exist yet is skipped by its id, so that a story begins to hold it the day it is written.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from server.rules.findings.registry import CATALOGUE, FINDERS
from server.rules.policy import SOLO
from server.rules.story.reader import Story
from server.rules.weigh import Weighing, weigh
from tests.server.rules.build import (
    PACKED,
    POWER_UP,
    STOCKED,
    at,
    dispatched,
    facts,
    hear,
    judge,
    label,
    rules,
    scan,
    step,
    verdict,
)
from tests.server.rules.story import late, read_story

LOOKS_MAX = 2_000


def every_look(story: Story) -> list[Weighing]:
    """Weighings at each fact's moment and at each next moment to look in between, to the story's end."""
    pending = sorted(moment for moment in story.fact_times() if moment <= story.ends_at)
    weighings: list[Weighing] = []
    for index, moment in enumerate(pending):
        until = pending[index + 1] if index + 1 < len(pending) else story.ends_at
        look: datetime | None = moment
        while look is not None and (look < until or look == moment):
            weighing = weigh(story.facts, SOLO, look)
            weighings.append(weighing)
            assert len(weighings) < LOOKS_MAX, "looking never comes to an end"
            look = weighing.next_look_at
    return weighings


@pytest.fixture(scope="module", params=[0, 18, 520])
def story_g(request: pytest.FixtureRequest) -> Story:
    """Story G as written, and shifted by weeks, across a change of the clocks too."""
    return read_story("G", request.param)


@pytest.fixture(scope="module", params=[0, 21])
def story_t(request: pytest.FixtureRequest) -> Story:
    return read_story("T", request.param)


def assert_at_end(story: Story, weighing: Weighing) -> None:
    for name, word in story.expect["at_end"]["steps"].items():
        found = {s.verdict for s in weighing.steps if s.step == name}
        assert found == {word}, f"{name}: {found}"
    for statement, word in story.expect["at_end"]["statements"].items():
        assert {v.verdict for v in weighing.verdicts if v.statement == statement} == {word}, statement


def test_story_g_never_finds_anything_and_proves_every_step(story_g: Story) -> None:
    looks = every_look(story_g)
    assert len(looks) > 60
    for weighing in looks:
        assert not weighing.findings, (weighing.as_of, [f.why for f in weighing.findings])
        assert not weighing.cleared, (weighing.as_of, [f.why for f in weighing.cleared])
    assert_at_end(story_g, looks[-1])
    assert all(s.verdict == "proved" for s in looks[-1].steps if s.physical)
    assert {p.state for p in looks[-1].promises} == {"kept"}
    assert looks[-1].shown.sentence == "Your tag arrived and is activated."


def test_story_t_finds_what_it_must_in_time() -> None:
    story = read_story("T")
    # Two months of sightings change at most what has been asserted of G; here the words and the deadlines count.
    moments = {s.learnt_at for s in story.facts.statements} | {story.ends_at}
    moments |= {story.at(wanted["latest"]) for wanted in story.expect["findings"]}
    weighings = [weigh(story.facts, SOLO, moment) for moment in sorted(moments)]
    for wanted in story.expect["findings"]:
        if wanted["rule"] not in FINDERS:
            assert wanted["rule"] in CATALOGUE
            continue
        latest = story.at(wanted["latest"])
        first = next(
            (
                w.as_of
                for w in weighings
                for f in w.findings
                if f.rule.id == wanted["rule"]
                and wanted.get("slot", f.slot) == f.slot
                and wanted.get("subject", f.subject) == f.subject
                and wanted.get("severity", f.severity) == f.severity
            ),
            None,
        )
        assert first is not None, f"{wanted} never fired"
        assert first <= latest, f"{wanted} fired only at {first}"
    never = set(story.expect["never"])
    assert not never & {f.rule.id for w in weighings for f in (*w.findings, *w.cleared)}
    assert_at_end(story, weighings[-1])


def test_story_t_refutes_the_moment_it_is_said(story_t: Story) -> None:
    said = next(s for s in story_t.facts.statements if s.id == "t-dispatched")
    before = weigh(story_t.facts, SOLO, said.said_at - timedelta(seconds=1))
    assert "R-17" not in rules(before)
    assert before.shown.sentence.startswith("It should have left us by Mon")
    now = weigh(story_t.facts, SOLO, said.said_at)
    assert {f.slot for f in now.findings if f.rule.id == "R-17"} == {1, 2}
    assert {f.since for f in now.findings if f.rule.id == "R-17"} == {said.said_at}
    assert verdict(now, "t-dispatched", 1) == verdict(now, "t-dispatched", 2) == "refuted"
    assert all("heard by our own receiver wh-shelf" in r for r in now.shown.reasons)
    assert now.shown.sentence.startswith("Our record says dispatched. Nothing shows that it left us")


def test_story_t_weeks_later_from_late_batches() -> None:
    """The whole past arrives today; each finding still says since when it has held."""
    story = read_story("T")
    today = story.ends_at
    on_time = weigh(story.facts, SOLO, today)
    from_late = weigh(late(story.facts, today), SOLO, today)
    assert from_late == on_time
    since = {(f.rule.id, f.slot, f.subject): f.since for f in from_late.findings}
    ship_by_over = story.at(story.expect["findings"][0]["latest"])
    assert since["R-02", 1, ""] == ship_by_over


def test_story_p_waiting_on_the_dock() -> None:
    """Label 10:00, dispatched 10:05, pickup 17:00, heard inside until 16:50, scan 18:10: nothing at any moment."""
    waiting = facts(
        *PACKED,
        label(at("Tue 10:00")),
        dispatched(at("Tue 10:05")),
        hear("dock", at("Tue 10:20"), at("Tue 16:50")),
        scan(at("Tue 18:10")),
    )
    look = at("Mon 09:00")
    sentences = []
    while look < at("Wed 09:00"):
        weighing = judge(waiting, look)
        assert not weighing.findings, (look, weighing.findings)
        sentences.append(weighing.shown.sentence)
        look += timedelta(minutes=5)
    assert "Waiting for the carrier; its first scan is expected by Tue 8 Nov 2016 23:00 EST." in sentences
    assert step(judge(waiting, at("Tue 18:10")), "accepted") == "supported"


def test_story_s_spoofed_witness() -> None:
    """Frames of a really shipped tag, recorded and replayed at the warehouse: R-34 opens, its verdicts stay."""
    honest = (
        *PACKED,
        label(at("Tue 10:00")),
        dispatched(at("Tue 16:40")),
        hear("dock", at("Tue 10:20"), at("Tue 16:55")),
        hear("van", at("Tue 17:30"), at("Tue 18:20")),
        scan(at("Tue 18:10")),
    )
    replayed = hear("dock", at("Wed 20:00"), at("Wed 22:00"), late_s=26 * 3600)
    before, after = judge(facts(*honest), at("Thu 09:00")), judge(facts(*honest, replayed), at("Thu 09:00"))
    assert not before.findings
    assert rules(after) == {"R-34"}
    assert after.verdicts == before.verdicts
    assert after.steps == before.steps
    assert verdict(after, "said") == step(after, "left") == "proved"


def test_story_s_in_the_wholesale_form() -> None:
    """The same on story G: every warehouse frame of the packing day is replayed there four days later."""
    story = read_story("G")
    day = next(s.latest for s in story.facts.statements if s.id == "g-packed")
    delay = timedelta(days=4)
    replayed = tuple(
        replace(
            row,
            first_at=row.first_at + delay,
            last_at=row.last_at + delay,
            first_reached_at=row.first_reached_at + delay,
            reached_us_at=row.reached_us_at + delay,
        )
        for row in story.facts.heard
        if row.site and abs(row.first_at - day) < timedelta(hours=12)
    )
    assert replayed
    spoofed = weigh(replace(story.facts, heard=story.facts.heard + replayed), SOLO, story.ends_at)
    honest = weigh(story.facts, SOLO, story.ends_at)
    assert rules(spoofed) == {"R-34"}
    assert (spoofed.steps, spoofed.verdicts) == (honest.steps, honest.verdicts)


def test_a_tag_on_the_shelf_still_counts_when_a_recording_of_it_is_played_elsewhere() -> None:
    """A recorder cannot erase a refutation: stale frames abroad change no verdict."""
    lie = (*PACKED, dispatched(at("Tue 10:00")), hear("dock", at("Wed 08:00"), at("Wed 12:00")))
    replay = hear("abroad", at("Wed 10:00"), at("Wed 11:00"), late_s=7200)
    assert verdict(judge(facts(*lie), at("Wed 13:00")), "said") == "refuted"
    spoofed = judge(facts(*lie, replay), at("Wed 13:00"))
    assert verdict(spoofed, "said") == "refuted"
    assert {"R-17", "R-34"} <= rules(spoofed)


def test_only_a_conflict_among_fresh_sightings_lowers_a_verdict() -> None:
    """Relayed within seconds to another continent, nobody can say where it is: unknown, and R-34 says why."""
    lie = (*PACKED, dispatched(at("Tue 10:00")), hear("dock", at("Wed 08:00"), at("Wed 12:00")))
    relay = hear("abroad", at("Wed 08:01"), at("Wed 12:01"))
    relayed = judge(facts(*lie, relay), at("Wed 13:00"))
    assert verdict(relayed, "said") == "unknown"
    assert "R-34" in rules(relayed)
    assert "R-17" not in rules(relayed)


def test_both_stories_share_one_warehouse() -> None:
    """They may be played on one product at once, so what they call by one name is one thing."""
    g, t = read_story("G").facts, read_story("T").facts
    assert replace(g.sites[0], holidays=frozenset()) == replace(t.sites[0], holidays=frozenset())
    shared = {x.id for x in g.gateways} & {x.id for x in t.gateways}
    assert {x for x in g.gateways if x.id in shared} == {x for x in t.gateways if x.id in shared}
    assert not {u.serial for u in g.units} & {u.serial for u in t.units}


def test_stock_alone_shows_nothing_to_a_customer() -> None:
    weighing = judge(facts(STOCKED), at("Mon 09:30"))
    assert weighing.shown.slots[0].shown is None
    assert weighing.shown.sentence == "We have your order."
    assert at("Mon 09:00") > POWER_UP
