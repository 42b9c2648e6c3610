"""A story's past: its radio is simulated in virtual time and delivered by simulated gateways, as late batches.

The state file makes it resumable: what is being played is written down before, what was settled after. A part cut off
is told again to the letter, and the server answers the batches it has already with "duplicate".
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from firmware_sim.air import Advert
from firmware_sim.fold import Numbering, PlaceOf, batches, sightings
from firmware_sim.mqtt import GatewayError, Identity, Sender, enrol
from firmware_sim.nvm import NVM, Sleep, load_sleep, save_sleep
from firmware_sim.story import Story
from firmware_sim.tag import Dice, TagState, Unit, lay_down, wake_up
from firmware_sim.world import World, life
from wire.batch import Place
from wire.enrolment import EnrolToken, decode_token
from wire.errors import WireError

# Settled and written down after each: long enough to keep the wire full, short enough that a cut costs a second.
PART_S: Final = 7 * 86_400.0


class PastError(Exception):
    """Something that the person at the command line has to decide; the message says what."""


class Outbox(msgspec.Struct, frozen=True):
    """Where one gateway's numbering stands in one story."""

    outbox_id: bytes
    next_sequence: int = 0


class Progress(msgspec.Struct, frozen=True):
    """One story: settled up to `settled_s`, meant to reach `until_s`; the tags and outboxes as they stand there."""

    weeks: int
    settled_s: float
    until_s: float
    outboxes: dict[str, Outbox] = {}
    tags: list[Sleep] = []
    told: dict[str, int] = {}

    @property
    def done(self) -> bool:
        return self.settled_s >= self.until_s


class PastState(msgspec.Struct, frozen=True):
    """The state file: gateways enrolled once and for all stories, and each story's progress."""

    gateways: dict[str, Identity] = {}
    stories: dict[str, Progress] = {}


@dataclass(frozen=True, slots=True)
class Step:
    """What a progress display may show: the story's clock, and what was told since it began."""

    at_s: float
    from_s: float
    until_s: float
    told: Mapping[str, int]


def play_past(
    story: Story,
    weeks: int,
    units: Mapping[int, Unit],
    until_s: float,
    *,
    state_file: Path,
    data: Path,
    tokens: Mapping[str, EnrolToken],
    dice: Dice,
    seed: int,
    show: Callable[[Step], None],
) -> Progress:
    """Plays what is still untold of a story. Raises PastError and GatewayError; both may be tried again."""
    with _locked(state_file):
        state = _load(state_file)
        progress = state.stories.get(story.id) or _begin(story, weeks, until_s, units)
        if progress.weeks != weeks:
            raise PastError(f"story {story.id} was begun with --shift-weeks {progress.weeks}: go on with that")
        if progress.done:
            _lay_down(progress, data, anew=False)
            return progress
        heard = sorted({gateway for tag in story.tags for stretch in tag.stretches for gateway in stretch.heard_by})
        for gateway in heard:
            if gateway not in state.gateways:
                state = _enrol(state, gateway, tokens, dice)
                _save(state_file, state)
        new = {gateway: Outbox(dice(16)) for gateway in heard}
        progress = msgspec.structs.replace(progress, outboxes={**new, **progress.outboxes})
        with ExitStack() as stack:
            senders = {gateway: stack.enter_context(Sender(state.gateways[gateway])) for gateway in heard}
            while not progress.done:
                state = _with(state, story, progress)
                _save(state_file, state)
                progress = _play_part(story, progress, units, senders, state.gateways, seed, show)
        _save(state_file, _with(state, story, progress))
        _lay_down(progress, data, anew=True)
        return progress


def _lay_down(progress: Progress, data: Path, *, anew: bool) -> None:
    """What the tags remember, for the live air; one that may have lived on there since keeps its own memory."""
    for sleep in progress.tags:
        if anew or load_sleep(data / NVM, sleep.serial) is None:
            save_sleep(data / NVM, sleep)


def read_tokens(path: Path) -> dict[str, EnrolToken]:
    """Enrolment tokens, one a line, each naming its gateway; blank lines and # comments are skipped."""
    tokens = {}
    try:
        lines = path.read_text().splitlines()
    except OSError as wrong:
        raise PastError(f"{path} cannot be read: {wrong.strerror}") from None
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            try:
                token = decode_token(line)
            except WireError as wrong:
                raise PastError(f"{path}, line {number}: {wrong}") from None
            tokens[token.gateway] = token
    return tokens


# --- Parts ------------------------------------------------------------------------------------------------


def _begin(story: Story, weeks: int, until_s: float, units: Mapping[int, Unit]) -> Progress:
    if missing := [tag.serial for tag in story.tags if tag.serial not in units]:
        raise PastError(
            f"story {story.id} needs tags that no factory made: {', '.join(map(str, missing))}. Make them with  "
            f"python -m firmware_sim factory DIR --lot {story.tags[0].lot or 'LOT'} --first-serial {min(missing)}"
        )
    if until_s <= story.begins_s:
        raise PastError(f"story {story.id} begins after --until: it has no past yet")
    tags = [lay_down(TagState(units[tag.serial])) for tag in story.tags]
    return Progress(weeks, story.begins_s, until_s, tags=tags)


def _play_part(
    story: Story,
    progress: Progress,
    units: Mapping[int, Unit],
    senders: Mapping[str, Sender],
    gateways: Mapping[str, Identity],
    seed: int,
    show: Callable[[Step], None],
) -> Progress:
    from_s, to_s = progress.settled_s, min(progress.settled_s + PART_S, progress.until_s)
    told = Counter(progress.told)
    before = {gateway: Counter(sender.outcomes) for gateway, sender in senders.items()}
    lives = [life(units[tag.serial], tag.stretches, tag.boots_s) for tag in story.tags]
    states = {sleep.serial: wake_up(units[sleep.serial], sleep) for sleep in progress.tags}
    world = World(lives, seed, states=states)

    def watched(adverts: Iterator[Advert]) -> Iterator[Advert]:
        for advert in adverts:
            told["adverts"] += 1
            show(Step(advert.time_ms / 1000, story.begins_s, progress.until_s, told))
            yield advert

    numbering = {name: Numbering(outbox.outbox_id, outbox.next_sequence) for name, outbox in progress.outboxes.items()}
    for batch in batches(sightings(watched(world.adverts(from_s, to_s))), numbering, _places(story, gateways)):
        senders[batch.gateway].send(batch)
        told["batches"] += 1
    for gateway, sender in senders.items():
        sender.settle()
        told.update(sender.outcomes - before[gateway])
    show(Step(to_s, story.begins_s, progress.until_s, told))
    return msgspec.structs.replace(
        progress,
        settled_s=to_s,
        outboxes={name: Outbox(n.outbox_id, n.next_sequence) for name, n in numbering.items()},
        tags=[lay_down(state) for state in world.states.values()],
        told=dict(told),
    )


def _places(story: Story, gateways: Mapping[str, Identity]) -> PlaceOf:
    """Where a gateway was: with a stretch that moved it, else where it was enrolled, else where the story puts it."""
    fixed = {gateway.id: gateway.place for gateway in story.gateways}
    fixed |= {name: identity.place for name, identity in gateways.items() if identity.place is not None}
    moving = [stretch for tag in story.tags for stretch in tag.stretches if stretch.place is not None]

    def place_of(gateway: str, time_ms: int) -> Place | None:
        for stretch in moving:
            if gateway in stretch.heard_by and stretch.from_s <= time_ms / 1000 < stretch.to_s:
                return stretch.place
        return fixed.get(gateway)

    return place_of


def _enrol(state: PastState, gateway: str, tokens: Mapping[str, EnrolToken], dice: Dice) -> PastState:
    token = tokens.get(gateway)
    if token is None:
        raise PastError(f"gateway {gateway} is not enrolled and --tokens holds no token for it")
    identity = enrol(token, dice)
    return msgspec.structs.replace(state, gateways={**state.gateways, gateway: identity})


# --- The state file ---------------------------------------------------------------------------------------


def _with(state: PastState, story: Story, progress: Progress) -> PastState:
    return msgspec.structs.replace(state, stories={**state.stories, story.id: progress})


def _load(path: Path) -> PastState:
    try:
        return msgspec.json.decode(path.read_bytes(), type=PastState)
    except FileNotFoundError:
        return PastState()
    except (OSError, msgspec.DecodeError) as wrong:
        raise PastError(f"{path} is no state file of ours: {wrong}") from None


def _save(path: Path, state: PastState) -> None:
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two runs on one state file would give one number to two batches."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PastError(f"another run is working on {path}") from None
        yield


__all__ = ["GatewayError", "PastError", "PastState", "Progress", "Step", "play_past", "read_tokens"]
