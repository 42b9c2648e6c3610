"""A story's past over a real broker: everything stored exactly once, whenever the run is cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim import mqtt, past
from firmware_sim.mqtt import GatewayError
from firmware_sim.nvm import load_sleep
from firmware_sim.past import PastError, Progress, Step
from firmware_sim.story import Story, read_story
from firmware_sim.world import life, simulate
from server.local.broker import OwnBroker
from tests.firmware_sim.conftest import K_FACTORY, K_LOT, make_unit
from tests.firmware_sim.counter_desk import CounterDesk, open_desk
from tests.fixtures.ports import free_ports
from wire.batch import decode_batch, unpack_sightings
from wire.enrolment import encode_token
from wire.frames import decode_p

DAYS = 20
STORY = """
[story]
id = "X"
zone = "Europe/Berlin"
begins = 2026-10-01
every_s = 900
[[gateway]]
id = "dock"
lat = 52.5
lon = 13.4
accuracy_m = 10.0
[[gateway]]
id = "van"
[[tag]]
name = "a"
serial = 1
[[tag]]
name = "b"
serial = 2
[[truth]]
tag = "a"
from = 2026-10-01T08:00:00
to = 2026-10-16T08:00:00
heard_by = ["dock"]
[[truth]]
tag = "a"
from = 2026-10-16T08:00:00
heard_by = ["van"]
lat = 52.6
lon = 13.5
accuracy_m = 20.0
[[truth]]
tag = "b"
from = 2026-10-01T08:00:00
heard_by = ["dock", "van"]
"""
UNITS = {serial: make_unit(serial) for serial in (1, 2)}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with OwnBroker(tmp_path_factory.mktemp("broker"), free_ports()) as running:
        yield running.url


@pytest.fixture
def desk(broker: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[CounterDesk]:
    monkeypatch.setattr(mqtt, "AGAIN_S", (0.3, 0.3, 0.3, 0.3))
    with open_desk(broker) as opened:
        yield opened


@pytest.fixture
def story(tmp_path: Path) -> Story:
    (tmp_path / "X.toml").write_text(STORY)
    return read_story(tmp_path / "X.toml")


def quiet(_step: Step) -> None:
    """Nobody watches."""


def play(
    story: Story, desk: CounterDesk, folder: Path, show: Callable[[Step], None] = quiet, gateways: str = "dock van"
) -> Progress:
    return past.play_past(
        story,
        0,
        UNITS,
        story.begins_s + DAYS * 86_400,
        state_file=folder / "past.json",
        data=folder / "air",
        tokens={gateway: desk.token(gateway) for gateway in gateways.split()},
        dice=Random(1).randbytes,
        seed=1,
        show=show,
    )


def wanted(story: Story) -> list[tuple[str, bytes]]:
    """What the air really held, part by part as it is played."""
    tags = [life(UNITS[tag.serial], tag.stretches, tag.boots_s) for tag in story.tags]
    heard = simulate(tags, story.begins_s, story.begins_s + past.PART_S, 1)
    return sorted((advert.gateway, advert.frame) for advert in heard)


def stored(desk: CounterDesk) -> list[tuple[str, bytes]]:
    return sorted(
        (key[0], held.frame)
        for key, body in desk.bodies.items()
        for sighting in unpack_sightings(decode_batch(body))
        for held in sighting.frames
    )


def test_a_past_is_stored_once_and_ends_in_the_tags_memory(story: Story, desk: CounterDesk, tmp_path: Path) -> None:
    steps: list[Step] = []
    done = play(story, desk, tmp_path, steps.append)
    assert done.done
    assert done.told["stored"] == done.told["batches"] == len(desk.bodies) == desk.counts["STORED"]
    frames = stored(desk)
    assert len(set(frames)) == len(frames) == done.told["adverts"]
    assert set(wanted(story)) <= set(frames)
    assert {decode_p(frame, K_LOT, K_FACTORY).serial for _, frame in frames} == {1, 2}
    for gateway in ("dock", "van"):
        numbers = sorted(sequence for name, _, sequence in desk.bodies if name == gateway)
        assert numbers == list(range(len(numbers)))
    places = {(key[0], decode_batch(body).place) for key, body in desk.bodies.items()}
    assert {(name, place.lat_e7) for name, place in places if place} == {("dock", 525_000_000), ("van", 526_000_000)}
    sleep = load_sleep(tmp_path / "air" / "nvm", 1)
    assert sleep
    assert sleep.ram
    assert sleep.nvm.uptime_s == pytest.approx(DAYS * 86_400 - 6 * 3_600 - 8 * 3_600, abs=9 * 3_600)
    assert steps[-1].at_s == steps[-1].until_s
    delivered = desk.counts["delivered"]
    assert play(story, desk, tmp_path).told == done.told
    assert desk.counts["delivered"] == delivered, "what is told is not told again"


def test_cut_off_anywhere_it_goes_on_and_nothing_is_twice(story: Story, desk: CounterDesk, tmp_path: Path) -> None:
    class CutError(Exception):
        pass

    dice, whole = Random(7), play(story, desk, tmp_path / "uncut").told["adverts"]
    uncut = stored(desk)
    desk.bodies.clear()
    desk.gateways.clear()
    cuts = 0
    for _ in range(12):
        left = dice.randrange(1, whole // 2)

        def cut(_step: Step) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise CutError

        try:
            play(story, desk, tmp_path / "cut", cut)
        except CutError:
            cuts += 1
    play(story, desk, tmp_path / "cut")
    assert cuts >= 2
    assert desk.counts["SEQUENCE_CONFLICT"] == 0
    assert stored(desk) == uncut


def test_what_is_not_answered_is_published_again(story: Story, desk: CounterDesk, tmp_path: Path) -> None:
    desk.mute = 3
    done = play(story, desk, tmp_path)
    assert desk.counts["delivered"] > len(desk.bodies)
    assert done.told["batches"] == len(desk.bodies)


def test_a_refusal_is_told(story: Story, desk: CounterDesk, tmp_path: Path) -> None:
    desk.refuse = True
    done = play(story, desk, tmp_path)
    assert done.told["refused from_the_future"] == done.told["batches"]


def test_a_forged_receipt_settles_nothing(story: Story, desk: CounterDesk, tmp_path: Path) -> None:
    play(story, desk, tmp_path / "one")
    state = (tmp_path / "one" / "past.json").read_bytes()
    assert b'"settled_s"' in state
    desk.forge = Ed25519PrivateKey.generate()
    (tmp_path / "two").mkdir()
    fresh = past._load(tmp_path / "one" / "past.json")
    past._save(tmp_path / "two" / "past.json", past.PastState(gateways=fresh.gateways))
    with pytest.raises(GatewayError, match="no receipts"):
        play(story, desk, tmp_path / "two")


def test_only_the_server_of_the_token_is_believed(story: Story, desk: CounterDesk, tmp_path: Path) -> None:
    desk.forge = Ed25519PrivateKey.generate()
    with pytest.raises(GatewayError, match="not the server of this token"):
        play(story, desk, tmp_path)


def test_what_is_missing_is_named(story: Story, desk: CounterDesk, tmp_path: Path) -> None:
    with pytest.raises(PastError, match="van is not enrolled"):
        play(story, desk, tmp_path, gateways="dock")
    desk.url += "/elsewhere"
    with pytest.raises(GatewayError, match=r"Nothing here\.  \(gone\)"):
        play(story, desk, tmp_path / "b")
    desk.url = "http://127.0.0.1:1"
    with pytest.raises(GatewayError, match="does not answer"):
        play(story, desk, tmp_path / "c")
    with pytest.raises(PastError, match="no past yet"):
        past.play_past(
            story, 0, UNITS, story.begins_s - 1, state_file=tmp_path / "d", data=tmp_path, tokens={},
            dice=Random(1).randbytes, seed=1, show=quiet,
        )  # fmt: skip
    with pytest.raises(PastError, match="tags that no factory made: 1, 2"):
        past.play_past(
            story, 0, {}, story.begins_s + 1, state_file=tmp_path / "d", data=tmp_path, tokens={},
            dice=Random(1).randbytes, seed=1, show=quiet,
        )  # fmt: skip


def test_two_runs_on_one_state_file_are_refused(story: Story, desk: CounterDesk, tmp_path: Path) -> None:
    with past._locked(tmp_path / "past.json"), pytest.raises(PastError, match="another run"):
        play(story, desk, tmp_path)


def test_tokens_are_read_line_by_line(desk: CounterDesk, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# tokens\n\n{encode_token(desk.token('dock'))}\n{encode_token(desk.token('van'))}\n")
    assert past.read_tokens(file) == {name: desk.token(name) for name in ("dock", "van")}
    file.write_text("HS1.nonsense\n")
    with pytest.raises(PastError, match="line 1"):
        past.read_tokens(file)
