"""The fast door: the same firmware in virtual time, told again exactly, thinned as the story says."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from firmware_sim.story import StoryError, read_story
from firmware_sim.tag import Event, PowerOff, PowerOn, uptime_s
from firmware_sim.world import TagLife, World, life, simulate
from tests.firmware_sim.conftest import make_unit, still
from tests.firmware_sim.listening import opened
from wire.batch import GatewayClass

STORIES = Path(__file__).resolve().parents[2] / "firmware_sim" / "stories"
START_S = 1_790_000_000.0
DAY_S = 86_400.0


def told(name: str, weeks: int = 0) -> tuple[list[TagLife], float]:
    story = read_story(STORIES / f"{name}.toml", weeks)
    return [life(make_unit(tag.serial), tag.stretches, tag.boots_s) for tag in story.tags], story.begins_s


@pytest.mark.parametrize("name", ["G", "T"])
def test_a_story_is_told_again_exactly_under_its_seed(name: str) -> None:
    tags, begins_s = told(name)
    first = list(simulate(tags, begins_s, begins_s + 20 * DAY_S, seed=1))
    assert first == list(simulate(tags, begins_s, begins_s + 20 * DAY_S, seed=1))
    assert first != list(simulate(tags, begins_s, begins_s + 20 * DAY_S, seed=2))
    assert first == sorted(first, key=lambda advert: advert.time_ms)


def test_a_run_cut_between_two_parts_goes_on_as_if_it_had_not_been() -> None:
    tags, begins_s = told("T")
    whole = World(tags, seed=1)
    first = list(whole.adverts(begins_s, begins_s + 7 * DAY_S))
    kept = dict(whole.states)
    second = list(whole.adverts(begins_s + 7 * DAY_S, begins_s + 14 * DAY_S))
    again = World(tags, seed=1, states=kept)
    assert list(again.adverts(begins_s + 7 * DAY_S, begins_s + 14 * DAY_S)) == second
    assert again.states == whole.states
    assert first[-1].time_ms < second[0].time_ms


def test_story_t_both_tags_are_heard_at_the_warehouse_all_along() -> None:
    tags, begins_s = told("T")
    heard = list(simulate(tags, begins_s, begins_s + 79 * DAY_S, seed=1))
    assert {advert.gateway for advert in heard} == {"wh-bench", "wh-dock", "wh-shelf"}
    for serial in (7000401, 7000402):
        mine = [advert for advert in heard if opened(advert).serial == serial]
        hours = {advert.time_ms // 3_600_000 for advert in mine}
        assert len(hours) > 78 * 24
        lags = [advert.time_ms / 1000 - opened(advert).uptime_s for advert in mine]
        assert max(lags) - min(lags) < 1 + 1e-6 * 79 * DAY_S, "an untouched tag is never stale"


def test_story_g_is_heard_only_where_its_truth_says() -> None:
    tags, begins_s = told("G")
    heard = list(simulate(tags, begins_s, begins_s + 19 * DAY_S, seed=1))
    stretches = tags[0].stretches
    for advert in heard:
        at_s = advert.time_ms / 1000
        # a frame's time is cut to whole milliseconds
        assert any(s.from_s - 0.001 <= at_s < s.to_s and advert.gateway in s.heard_by for s in stretches)
    assert {gateway for stretch in stretches for gateway in stretch.heard_by} == {advert.gateway for advert in heard}


def test_each_receiver_takes_about_one_frame_in_its_time() -> None:
    tag = life(make_unit(), [still(START_S, ("a", "b"), every_s=600)], [START_S])
    heard = list(simulate([tag], START_S, START_S + DAY_S, seed=1))
    for gateway in "ab":
        times = [advert.time_ms / 1000 for advert in heard if advert.gateway == gateway]
        assert len(times) == 144
        assert all(580 < later - earlier < 620 for earlier, later in pairwise(times))


def test_unthinned_every_beacon_is_heard() -> None:
    tag = life(make_unit(), [still(START_S, ("a",), to_s=START_S + 1_000)], [START_S])
    heard = list(simulate([tag], START_S, START_S + DAY_S, seed=1, thin=False))
    assert 97 <= len(heard) <= 101
    assert all((later.time_ms - earlier.time_ms + 1) / 1000 >= 10 for earlier, later in pairwise(heard))


def test_power_is_cut_and_comes_back_in_the_story_too() -> None:
    off: list[Event] = [PowerOff(START_S + DAY_S), PowerOn(START_S + 91 * DAY_S)]
    tag = life(make_unit(), [still(START_S, ("a",))], [START_S], off)
    heard = [opened(advert) for advert in simulate([tag], START_S, START_S + 92 * DAY_S, seed=1)]
    first, second = ([frame for frame in heard if frame.boot == boot] for boot in (1, 2))
    assert len(first) == len(second) == 144
    assert 0 <= second[0].uptime_s - first[-1].uptime_s < 700


def test_the_state_at_the_end_is_the_tag_that_goes_on() -> None:
    tags, begins_s = told("T")
    world = World(tags, seed=1)
    last = {opened(advert).serial: advert for advert in world.adverts(begins_s, begins_s + 30 * DAY_S)}
    for serial, state in world.states.items():
        now_s = begins_s + 31 * DAY_S
        assert abs(now_s - uptime_s(state, now_s) - (last[serial].time_ms / 1000 - opened(last[serial]).uptime_s)) < 2
        assert state.nvm.boot == 1


# --- Story files ------------------------------------------------------------------------------------------


def test_whole_weeks_keep_the_hour_of_the_day_over_a_change_of_clocks() -> None:
    april = read_story(STORIES / "T.toml")
    spring = read_story(STORIES / "T.toml", 24)
    moved_s = spring.tags[0].stretches[0].from_s - april.tags[0].stretches[0].from_s
    assert moved_s == 24 * 7 * DAY_S, "both days have summer time"
    winter = read_story(STORIES / "T.toml", 10)
    assert winter.tags[0].stretches[0].from_s - april.tags[0].stretches[0].from_s == 10 * 7 * DAY_S + 3_600


def test_story_g_says_who_moves_and_who_is_live() -> None:
    story = read_story(STORIES / "G.toml")
    gateways = {gateway.id: gateway for gateway in story.gateways}
    assert gateways["van-worcester"].gateway_class is GatewayClass.VEHICLE
    assert gateways["van-worcester"].place is None
    assert [gateway.id for gateway in story.gateways if gateway.live] == ["cafe-merrimon", "home-elm"]
    van = next(stretch for stretch in story.tags[0].stretches if "van-worcester" in stretch.heard_by)
    assert van.place is not None
    assert (van.place.lat_e7, van.every_s) == (422_959_000, 300)


HEAD = '[story]\nid = "X"\nzone = "UTC"\n[[gateway]]\nid = "dock"\n[[tag]]\nname = "a"\nserial = 1\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "story"),
        ("[story]\nid = 3", "id"),
        ('[story]\nid = "X"\nzone = "Mars/Base"', "Mars"),
        (HEAD + '[[truth]]\ntag = "b"\nheard_by = ["dock"]', "unknown tags: b"),
        (HEAD + '[[truth]]\ntag = "a"\nheard_by = ["attic"]', "unknown gateways: attic"),
        (HEAD + '[[truth]]\ntag = "a"\nheard_by = ["dock"]\nto = 1960-01-01T00:00:00', "ends before it begins"),
        (HEAD + '[[truth]]\ntag = "a"\nheard_by = ["dock"]\nevery_s = 0', "every_s"),
        (HEAD.replace("dock", "Dock!"), "id"),
        ("not toml", "X.toml"),
    ],
)
def test_a_spoiled_story_is_named(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "X.toml").write_text(text)
    with pytest.raises(StoryError, match=says):
        read_story(tmp_path / "X.toml")


def test_a_story_without_times_is_always_now(tmp_path: Path) -> None:
    (tmp_path / "X.toml").write_text(HEAD + '[[truth]]\ntag = "a"\nheard_by = ["dock"]')
    story = read_story(tmp_path / "X.toml")
    assert story.tags[0].stretches[0].from_s == 0
    with pytest.raises(StoryError, match="cannot be read"):
        read_story(tmp_path / "absent.toml")
