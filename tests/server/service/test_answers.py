"""Facts gathered for the rules, and the weighing that is kept beside them only as long as it holds."""

from __future__ import annotations

from datetime import timedelta

from server.rules.authority import Role
from server.rules.policy import SOLO, TEAM
from server.service import answers, heard
from server.store import weighings
from tests.server.web.test_orders import refuted, state
from tests.server.web.town import HAMBURG, Town, order, said


def is_kept(town: Town, number: str = "T-1") -> bool:
    with town.house.work() as (tx, now):
        return weighings.current(tx, number, answers._version(SOLO), now) is not None


def due(town: Town) -> tuple[str, ...]:
    with town.house.work() as (tx, now):
        return weighings.due(tx, now, 10)


def weigh(town: Town, number: str = "T-1") -> None:
    with town.house.work() as (tx, now):
        answers.weighing(tx, number, SOLO, now)


def test_a_new_order_is_due_at_once(town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1"))
    assert due(town) == ("T-1",)
    weigh(town)
    assert due(town) == ()
    assert is_kept(town)


def test_a_statement_ends_what_was_weighed(town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1"))
    weigh(town)
    packed = said("s-1", "packed", town.now)
    state(who, "T-1", packed)
    assert not is_kept(town)
    weigh(town)
    state(who, "T-1", packed)  # the same again is no new fact
    assert is_kept(town)


def test_time_ends_what_was_weighed(town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1", placed_at=town.now.isoformat()))
    weigh(town)
    with town.house.work() as (tx, now):
        current = weighings.current(tx, "T-1", answers._version(SOLO), now)
    assert current is not None
    assert current.next_look_at is not None
    town.now = current.next_look_at
    assert not is_kept(town)
    assert due(town) == ("T-1",)


def test_another_policy_weighs_anew(town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1"))
    weigh(town)
    with town.house.work() as (tx, now):
        assert weighings.current(tx, "T-1", answers._version(TEAM), now) is None


def test_kept_and_new_say_the_same(town: Town) -> None:
    refuted(town)
    with town.house.work() as (tx, now):
        first = answers.kept(tx, "T-1", SOLO, now)
        assert answers.kept(tx, "T-1", SOLO, now) == first
    assert is_kept(town)


def test_hearing_an_unclaimed_tag_makes_its_order_due_again_after_a_while(town: Town) -> None:
    _, tag = refuted(town)
    weigh(town)

    def hear() -> None:
        with town.house.work() as (tx, now):
            heard.stored(tx, {tag.serial: now}, now, "")

    hear()
    assert is_kept(town)  # ten thousand packed tags a minute must not all be weighed every minute
    town.wait(minutes=11)
    assert is_kept(town)
    hear()
    assert not is_kept(town)
    town.claim(town.owner(), tag)
    weigh(town)
    town.wait(minutes=11)
    assert is_kept(town)
    hear()
    assert is_kept(town), "a claimed tag says nothing new of its order"


def test_a_tag_that_lay_at_the_bench_all_day_was_heard_while_it_was_packed(town: Town) -> None:
    """Sightings come thinned to the ends of a day; at every moment that rules ask about they are cut."""
    from wire.batch import GatewayClass

    who, tag = town.staff(Role.OPERATOR), town.tag()
    town.site()
    town.gateway("dock-1", GatewayClass.OWN_SITE, "dock", HAMBURG)
    day = (town.now - timedelta(days=2)).replace(hour=0, minute=5)
    packed = day.replace(hour=11, minute=0)
    town.hear("dock-1", tag.serial, HAMBURG, [day + timedelta(minutes=10 * n) for n in range(140)])
    who.post("/orders", order("T-1", site="dock"))
    state(
        who,
        "T-1",
        said("b", "serial_bound", packed, slot=1, payload={"serial": tag.serial}),
        said("p", "packed", packed, slot=1),
    )
    with town.house.work() as (tx, now):
        facts = answers.collect(tx, "T-1", SOLO, now)
        _, weighed = answers.weighing(tx, "T-1", SOLO, now)
    assert len(facts.heard) < 20
    [step] = [each for each in weighed.steps if each.step == "packed"]
    assert step.verdict == "proved"
    assert sum(row.count for row in facts.heard) == 140


def test_two_frames_inside_after_the_pickup_refute_however_sightings_are_thinned(town: Town) -> None:
    """Found by the world's seed 45: thinned across the pickup, one frame of the evening was left, too little for it."""
    from wire.batch import GatewayClass

    who, tag = town.staff(Role.OPERATOR), town.tag()
    town.site()
    town.gateway("dock-1", GatewayClass.OWN_SITE, "dock", HAMBURG)
    friday = (town.now - timedelta(days=2)).replace(hour=0)
    hours = [friday + timedelta(hours=n) for n in (5, 7, 9, 11, 13, 15, 17, 19, 21)]  # the pickup is over at 18
    town.hear("dock-1", tag.serial, HAMBURG, hours)
    who.post("/orders", order("T-1", site="dock"))
    state(
        who,
        "T-1",
        said("b", "serial_bound", hours[1], slot=1, payload={"serial": tag.serial}),
        said("d", "dispatched", hours[2], "staff", slot=1),
    )
    with town.house.work() as (tx, now):
        _, weighed = answers.weighing(tx, "T-1", SOLO, now)
    [words] = [each for each in weighed.verdicts if each.kind == "dispatched"]
    assert words.verdict == "refuted"


def test_our_receivers_were_up_as_long_as_they_told(town: Town) -> None:
    """Silence counts only where somebody listened: a gap of more than a quarter of an hour ends a stretch."""
    from server.store import coverage
    from wire.batch import GatewayClass

    tag = town.tag()
    town.site()
    town.gateway("dock-1", GatewayClass.OWN_SITE, "dock", HAMBURG)
    town.gateway("street-1", GatewayClass.CROWD)
    start = town.now - timedelta(hours=10)
    morning = [start + timedelta(minutes=n) for n in range(0, 60, 5)]
    noon = [start + timedelta(hours=4, minutes=n) for n in range(0, 30, 5)]
    town.hear("dock-1", tag.serial, HAMBURG, [*morning, *noon])
    town.hear("street-1", tag.serial, HAMBURG, morning)
    with town.house.work() as (tx, now):
        stretches = coverage.healthy(tx, start - timedelta(days=1), now)
        assert coverage.any_up(tx, start, start + timedelta(hours=1))
        assert not coverage.any_up(tx, start + timedelta(hours=2), start + timedelta(hours=3))
    assert [each.gateway for each in stretches] == ["dock-1", "dock-1"]
    assert stretches[0].from_at == morning[0] + timedelta(seconds=10)
    assert stretches[1].from_at == noon[0] + timedelta(seconds=10)
    assert stretches[0].to_at is not None
    assert stretches[0].to_at < stretches[1].from_at
