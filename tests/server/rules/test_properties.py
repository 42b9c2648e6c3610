"""What must hold in every world: order, repetition and lateness change nothing; nothing is shown before evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from server.rules.authority import Role
from server.rules.evidence import SHOWN_BY_EVIDENCE
from server.rules.explain import why
from server.rules.facts import GatewayClass, Heard, OrderFacts, Place
from server.rules.freshness import Freshness, judge
from server.rules.life import far
from server.rules.moment import Moment
from server.rules.policy import SOLO
from server.rules.privacy import Viewer, owner_at, ownerships
from server.rules.timeline import timeline
from server.rules.weigh import Weighing, weigh
from tests.server.rules.story import late
from tests.server.rules.worlds import END, known_from, moments, worlds

patient = settings(max_examples=120)


def shuffled(draw: st.DrawFn, facts: OrderFacts) -> OrderFacts:
    """The same facts in another order, some of them repeated."""

    def mixed(parts):
        again = [p for p in parts if draw(st.booleans())]
        return tuple(draw(st.permutations([*parts, *again])))

    return replace(
        facts,
        statements=mixed(facts.statements),
        acts=mixed(facts.acts),
        heard=mixed(facts.heard),
        healthy=mixed(facts.healthy),
        units=mixed(facts.units),
        sites=mixed(facts.sites),
        listened=mixed(facts.listened),
    )


@st.composite
def world_twice(draw: st.DrawFn) -> tuple[OrderFacts, OrderFacts]:
    world = draw(worlds())
    return world, shuffled(draw, world)


@patient
@given(world_twice(), moments)
def test_order_and_repetition_change_nothing(both: tuple[OrderFacts, OrderFacts], now: datetime) -> None:
    assert weigh(both[0], SOLO, now) == weigh(both[1], SOLO, now)


@patient
@given(worlds())
def test_late_facts_give_the_answer_they_would_have_given_in_time(world: OrderFacts) -> None:
    now = max(known_from(world), END)
    assert weigh(world, SOLO, now) == weigh(late(world, now), SOLO, now)


@patient
@given(worlds(), moments)
def test_facts_not_yet_known_change_nothing(world: OrderFacts, now: datetime) -> None:
    """History can be replayed: what we learn later is not in an answer of today."""
    known = replace(
        world,
        statements=tuple(s for s in world.statements if s.learnt_at <= now),
        acts=tuple(a for a in world.acts if a.learnt_at <= now),
        heard=tuple(h for h in world.heard if max(h.first_at, h.first_reached_at) <= now),
    )
    full, bare = weigh(world, SOLO, now), weigh(known, SOLO, now)
    assert replace(full, next_look_at=None) == replace(bare, next_look_at=None)


@patient
@given(worlds(), moments)
def test_shown_is_never_ahead_of_evidenced(world: OrderFacts, now: datetime) -> None:
    weighing = weigh(world, SOLO, now)
    for slot in weighing.shown.slots:
        verdicts = {s.step: s.verdict for s in weighing.steps if s.slot == slot.slot}
        assert far(slot.shown) <= far(slot.evidenced)
        if slot.shown is not None:
            event(f"shown {slot.shown}")
            assert verdicts[slot.shown] in SHOWN_BY_EVIDENCE


@patient
@given(worlds(), moments)
def test_no_word_of_staff_moves_what_is_shown(world: OrderFacts, now: datetime) -> None:
    """Take every sighting, scan and act away: whatever was said, nothing is shown."""
    words = tuple(s for s in world.statements if s.kind != "carrier_scan")
    weighing = weigh(replace(world, statements=words, heard=(), acts=()), SOLO, now)
    assert all(slot.shown is None for slot in weighing.shown.slots)
    assert not any("left us." in s.sentence and "Nothing" not in s.sentence for s in weighing.shown.slots)


def replays(rows: tuple[Heard, ...], delay: timedelta) -> tuple[Heard, ...]:
    """Each row once more, recorded and played back at the same gateway."""
    return tuple(
        replace(
            row,
            first_at=row.first_at + delay,
            last_at=row.last_at + delay,
            first_reached_at=row.first_reached_at + delay,
            reached_us_at=row.reached_us_at + delay,
        )
        for row in rows
    )


@patient
@given(worlds(live=True), st.sampled_from((31, 36, 3600, 86_400, 604_800)), st.data())
def test_stale_rows_change_no_verdict(world: OrderFacts, delay_s: int, data: st.DataObject) -> None:
    delay = timedelta(seconds=delay_s)
    gateway = data.draw(st.sampled_from(("bench", "dock", "abroad", "phone", "van")))
    names = {g.id: g for g in world.gateways}
    recorded = tuple(
        replace(
            row,
            gateway=gateway,
            gateway_class=names[gateway].gateway_class,
            gateway_owner=names[gateway].owner,
            site=names[gateway].site,
        )
        for row in replays(world.heard, delay)
    )
    now = max(END, known_from(world)) + delay
    # Around a boot's end a recording may come before the live frames; here only what is stale is added.
    judged = judge((*world.heard, *recorded), SOLO, Moment(now))
    stale = {s.row for s in judged if s.freshness is Freshness.STALE}
    fresh = {s.row for s in judged if s.freshness is Freshness.FRESH}
    added = tuple(row for row in recorded if row in stale and row not in fresh)
    event(f"{len(added)} stale rows")
    before = weigh(world, SOLO, now)
    after = weigh(replace(world, heard=(*world.heard, *added)), SOLO, now)
    assert after.verdicts == before.verdicts
    assert after.steps == before.steps
    assert after.shown == before.shown
    assert [f for f in after.findings if f.rule.id != "R-34"] == [f for f in before.findings if f.rule.id != "R-34"]


@patient
@given(worlds(), moments, st.floats(0, 1, exclude_max=True))
def test_nothing_changes_before_the_next_look(world: OrderFacts, now: datetime, share: float) -> None:
    weighing = weigh(world, SOLO, now)
    until = weighing.next_look_at or END + timedelta(days=400)
    assert until > now
    for moment in (now + (until - now) * share, until - timedelta(microseconds=1)):
        if now <= moment < until:
            assert replace(weigh(world, SOLO, moment), as_of=now) == weighing


@patient
@given(worlds(live=True), moments, st.sampled_from((0, 14, 35)))
def test_a_finding_names_the_moment_at_which_it_began_to_hold(world: OrderFacts, now: datetime, days: int) -> None:
    """Had everything been known in time, it would have been open at `since` and not a moment before.

    What later facts take away again is not asked for: scans that a later label shows to be another parcel's, and
    sightings that others dispute (R-34).
    """
    labelled_at = max((s.said_at for s in world.statements if s.kind == "label_printed"), default=now)
    told = replace(
        world,
        statements=tuple(
            replace(s, learnt_at=s.said_at)
            for s in world.statements
            if s.kind != "carrier_scan" or s.said_at >= labelled_at
        ),
        acts=tuple(replace(a, learnt_at=a.at) for a in world.acts),
        heard=tuple(replace(h, first_reached_at=h.first_at, reached_us_at=h.last_at) for h in world.heard),
    )
    weighing = weigh(told, SOLO, now + timedelta(days=days))
    assume(all(f.rule.id != "R-34" for f in weighing.findings))
    # Of several words about one slot show one, and which one may change with what is learnt.
    for finding in (f for f in weighing.findings if f.rule.id not in ("R-04", "R-05", "R-17")):
        event(finding.rule.id)
        assert finding.since <= weighing.as_of
        assert finding.key in {f.key for f in weigh(told, SOLO, finding.since).findings}
        before = weigh(told, SOLO, finding.since - timedelta(microseconds=1))
        assert finding.key not in {f.key for f in before.findings}
    for cleared in weighing.cleared:
        assert cleared.cleared_at is not None
        assert cleared.since < cleared.cleared_at <= weighing.as_of
        assert cleared.cleared_because


@patient
@given(worlds(), moments)
def test_a_key_names_one_open_finding(world: OrderFacts, now: datetime) -> None:
    """(order, slot, rule, subject): two open ones under one key could not be told apart."""
    keys = [f.key for f in weigh(world, SOLO, now + timedelta(days=14)).findings]
    assert len(keys) == len(set(keys))


@patient
@given(worlds(), st.sampled_from((Place(0.0, 0.0, 5.0), Place(35.6, -82.5, 5.0), None)))
def test_where_an_owners_tag_is_changes_no_word(world: OrderFacts, elsewhere: Place | None) -> None:
    """No verdict, no line of `why` and no timeline of staff depends on a place heard while the tag has an owner."""
    now = max(END, known_from(world))
    owned = ownerships(world.acts)

    def moved(row: Heard) -> Heard:
        inside = all(owner_at(owned, row.serial, end) for end in (row.first_at, row.last_at))
        return replace(row, place=elsewhere) if inside and row.gateway_class is not GatewayClass.OWN_SITE else row

    other = replace(world, heard=tuple(moved(row) for row in world.heard))
    event(f"{sum(a != b for a, b in zip(other.heard, world.heard, strict=True))} moved")
    one, two = weigh(world, SOLO, now), weigh(other, SOLO, now)
    assert one == two
    for role in (Role.AGENT, Role.OPERATOR, Role.LEAD):
        viewer = Viewer(role)
        assert why(world, one, viewer) == why(other, two, viewer)
        assert timeline(world, SOLO, one, viewer) == timeline(other, SOLO, two, viewer)


@patient
@given(worlds(), moments)
def test_a_customer_reads_no_persons_name(world: OrderFacts, now: datetime) -> None:
    named = replace(
        world,
        statements=tuple(replace(s, by="Xaver Quirin") for s in world.statements),
        acts=tuple(replace(a, by="Xaver Quirin") for a in world.acts),
    )
    weighing = weigh(named, SOLO, now)
    viewer = Viewer(Role.OWNER, "one")
    assert "Xaver" not in repr((why(named, weighing, viewer), timeline(named, SOLO, weighing, viewer), weighing.shown))
    assert "Xaver" not in repr(_texts(weighing))


def _texts(weighing: Weighing) -> list[str]:
    return [f.why + f.rule.customer for f in (*weighing.findings, *weighing.cleared)] + [
        v.why for v in weighing.verdicts
    ]
