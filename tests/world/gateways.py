"""Simulated gateways of real parts: the real collector, outbox (SQLite), courier and judge of clocks, around them a
machine whose clock lies, whose power fails and whose card is sometimes put back from an old copy.

`Gateway` does what `gateway/run.py` does between those parts, without its threads and its broker. Beside each outbox
file lies its *book*: what was committed to it. The book is copied and restored with the file, so at the end it says
what the surviving outbox ever took; that is what the server must have.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, NamedTuple, Protocol

from gateway.clock import WallClock
from gateway.collector import Collector
from gateway.config import ClockSetting
from gateway.courier import Courier
from gateway.outbox import Outbox, OutboxFullError, Owner
from gateway.run import AGAIN_LOOK_S, BACKWARD_MAX_MS
from tests.world.cast import CastGateway
from tests.world.timeline import Timeline
from wire import topics
from wire.batch import Batch, Clock, Place, decode_batch, unpack_sightings
from wire.errors import WireError
from wire.frames import NETWORK_ID_LAB
from wire.signing import SIGNATURE_LEN, public_key

# How often a real gateway looks whether its window is over is half a second; this is enough for windows of minutes.
_LOOK_MS: Final = 2_500
# A link that swallows everything is noticed by its keepalive.
_KEEPALIVE_MS: Final = 45_000


class Heard(NamedTuple):
    """One frame of one committed sighting: what must become a row. `true_ms`: when it really was heard last."""

    frame: bytes
    heard_ms: int
    first_ms: int
    adverts: int
    rssi_max_dbm: int
    rssi_mean_dbm: int
    true_ms: int
    replayed: bool


class Entry(NamedTuple):
    """What one committed batch says, whatever number it gets later."""

    gateway: str
    sent_at_ms: int
    clock: Clock
    place: Place | None
    heard: tuple[Heard, ...]

    @property
    def name(self) -> tuple[str, int, tuple[tuple[bytes, int], ...]]:
        """The same for a batch that was renamed or signed anew."""
        return self.gateway, self.sent_at_ms, tuple((each.frame, each.heard_ms) for each in self.heard)


class Uplink(Protocol):
    """The way to the broker."""

    def connect(self, gateway: Gateway) -> None: ...
    def publish(self, gateway: Gateway, topic: str, payload: bytes) -> None: ...
    def leave(self, gateway: Gateway) -> None: ...


@dataclass
class Book:
    """What one outbox file took, in order; `buried`: given up later for want of room, so it may be missing."""

    entries: list[Entry] = field(default_factory=list)
    buried: set[int] = field(default_factory=set)
    waiting: dict[int, int] = field(default_factory=dict)  # number in the outbox → index of its entry

    def copy(self) -> Book:
        return Book(list(self.entries), set(self.buried), dict(self.waiting))


class Gateway:
    """One gateway's machine. `line.now_ms` is the truth; `wall_ms` is what it believes."""

    def __init__(
        self, line: Timeline, cast: CastGateway, folder: Path, server_key: bytes, uplink: Uplink, *, limit_bytes: int
    ) -> None:
        self.cast, self.name = cast, cast.name
        self._line, self._uplink, self._folder = line, uplink, folder
        self._dice: Random = line.dice(f"gateway {cast.name}")
        self._owner = Owner(cast.name, cast.key, public_key(server_key), lambda: self._dice.randbytes(16))
        self._limit_bytes = limit_bytes
        self.place: Place | None = cast.spot.place if cast.spot else None
        self._booted_ms = line.now_ms - self._dice.randint(60_000, 10**9)
        self.skew_ms = self._dice.randint(-1_500, 1_500)
        self.synchronised = True
        self.book = Book()
        self.lost: list[Entry] = []  # committed to a file that an older copy replaced
        self._copies: list[tuple[Path, Book]] = []
        self.up = False
        self.ready = False
        self.heard_adverts = self.accounted_adverts = 0
        self._replays: set[tuple[bytes, int]] = set()
        self._life = 0
        self._looks = self._publishes = False
        folder.mkdir()

    @property
    def waiting(self) -> int:
        """Batches without a receipt."""
        return self._outbox.depth().batches if self.up else -1

    # ------------------------------------------------------------------------------------ clocks
    def steady_ns(self) -> int:
        return (self._line.now_ms - self._booted_ms) * 1_000_000

    def wall_ms(self) -> int:
        return self._line.now_ms + self.skew_ms

    def set_clock(self, skew_ms: int, *, synchronised: bool) -> None:
        self.skew_ms, self.synchronised = skew_ms, synchronised
        self._line.tell(self.name, f"clock off by {skew_ms} ms, synchronised {synchronised}")

    # ------------------------------------------------------------------------------------ life
    def start(self) -> None:
        self._outbox = Outbox(self._folder / "outbox.sqlite", self._owner, limit_bytes=self._limit_bytes)
        unclean = self._outbox.begin()
        self._clock = WallClock(self.steady_ns, self.wall_ms, ClockSetting(), lambda: self.synchronised)
        self._clock.judge()
        self._collector = Collector(network_id=NETWORK_ID_LAB, now_ns=self.steady_ns(), addresses_max=24)
        self._taken_adverts = 0
        self._courier = Courier()
        self.up = True
        self._life += 1
        self._line.tell(self.name, f"starts with {self._outbox.depth().batches} waiting, unclean {unclean}")
        self._uplink.connect(self)

    def kill(self) -> None:
        """Power cut: the open window is gone."""
        if not self.up:
            return
        self._line.tell(self.name, "is killed")
        self._end()

    def stop(self) -> None:
        """In order: the open window goes to disk."""
        if not self.up:
            return
        self._line.tell(self.name, "stops")
        self._take_window()
        self._outbox.end()
        self._publish_once()
        self._end()

    def _end(self) -> None:
        self.accounted_adverts += self._collector.adverts_total() - self._taken_adverts
        self._uplink.leave(self)
        self.ready = self.up = False
        self._life += 1
        self._looks = self._publishes = False
        self._outbox.close()

    def reboot_clock(self) -> None:
        """The machine itself restarted: its steady clock begins anew."""
        assert not self.up
        self._booted_ms = self._line.now_ms

    # ------------------------------------------------------------------------------------ old copies
    def copy_card(self) -> None:
        """Somebody makes a backup of the outbox while nothing is being written."""
        there = self._folder / f"copy-{len(self._copies)}"
        there.mkdir()
        for name in ("outbox.sqlite", "outbox.sqlite-wal"):  # the third, -shm, is made anew from these
            if (self._folder / name).exists():
                shutil.copy(self._folder / name, there / name)
        self._copies.append((there, self.book.copy()))
        self._line.tell(self.name, f"card copied, {len(self.book.entries)} in its book")

    def restore_card(self) -> bool:
        """An old copy is put back; what was committed since is lost with the card, unless it got through before."""
        assert not self.up
        if not self._copies:
            return False
        there, book = self._dice.choice(self._copies)
        for path in sorted(self._folder.glob("outbox.sqlite*")):
            path.unlink()
        for path in sorted(there.iterdir()):
            shutil.copy(path, self._folder / path.name)
        kept = {entry.name for entry in book.entries}
        self.lost += [entry for entry in self.book.entries if entry.name not in kept]
        self.book = book.copy()
        self._line.tell(self.name, f"card restored, {len(book.entries)} in its book, {len(self.lost)} lost so far")
        return True

    # ------------------------------------------------------------------------------------ radio → disk
    def hear(self, address: str, frame: bytes | None, level_dbm: int, *, replayed: bool = False) -> None:
        if not self.up:
            return
        self.heard_adverts += 1
        if replayed and frame is not None:
            self._replays.add((frame, self._line.now_ms))
        self._collector.hear(address, frame, level_dbm, self.steady_ns())
        if not self._looks:
            self._looks = True
            self._line.after(_LOOK_MS, self._look, self._life)

    def _look(self, life: int) -> None:
        if life != self._life:
            return
        self._looks = False
        if self._collector.due(self.steady_ns()):
            self._take_window()
        elif self._collector.candidates(self.steady_ns()):
            self._looks = True
            self._line.after(2 * _LOOK_MS, self._look, life)

    def move(self, place: Place | None) -> None:
        """The machine stands somewhere else now: a new batch begins."""
        if self.up and place != self.place:
            self._take_window()
        self.place = place

    def _take_window(self) -> None:
        judged = self._clock.judge(self._outbox.recall("made_ms") - BACKWARD_MAX_MS)
        window = self._collector.take(self.steady_ns(), judged.offset_ms)
        taken = sum(seen.adverts for seen in window.sightings) + sum(window.dropped.values())
        taken += window.owned_adverts
        self._taken_adverts += taken
        self.accounted_adverts += taken
        if not window.sightings and not window.dropped and not self._outbox.owes():
            return
        try:
            numbers = self._outbox.add(window, now_ms=self.wall_ms(), clock=judged.quality, place=self.place)
        except OutboxFullError:
            self._line.tell(self.name, "has no room for its window")
            return
        for number in numbers:
            payload = self._outbox.payload(number)
            assert payload is not None
            entry = self._entry(decode_batch(payload[SIGNATURE_LEN:]))
            self.book.waiting[number] = len(self.book.entries)
            self.book.entries.append(entry)
            frames = [each.frame.hex()[8:16] for each in entry.heard]
            self._line.tell(self.name, f"commits {number}: {judged.quality.name} {' '.join(frames)}")
        self._look_for_tombstones()
        self._publish_soon(0)

    def _entry(self, batch: Batch) -> Entry:
        heard = []
        for seen in unpack_sightings(batch):
            for frame in seen.frames:
                true_ms = frame.heard_ms - self.skew_ms
                heard.append(
                    Heard(
                        frame.frame, frame.heard_ms, seen.first_ms, seen.adverts, seen.rssi_max_dbm,
                        seen.rssi_mean_dbm, true_ms, (frame.frame, true_ms) in self._replays,
                    )
                )  # fmt: skip
        return Entry(self.name, batch.sent_at_ms, batch.clock, batch.place, tuple(heard))

    def _look_for_tombstones(self) -> None:
        """Which of those that wait were given up for want of room."""
        if self._outbox.depth().size_bytes < self._limit_bytes // 2:
            return
        for number, index in self.book.waiting.items():
            payload = self._outbox.payload(number)
            if payload is not None and decode_batch(payload[SIGNATURE_LEN:]).given_up and index not in self.book.buried:
                self.book.buried.add(index)
                self._line.tell(self.name, f"gives up {number}")

    # ------------------------------------------------------------------------------------ disk → broker
    def connected(self) -> None:
        self.ready = True
        self._courier.connected()
        self._line.tell(self.name, "is connected")
        self._publish_soon(0)

    def cut(self, *, noticed_now: bool = True) -> None:
        """The connection ended; if nobody said so, the keepalive tells later."""
        if not noticed_now:
            self._line.after(_KEEPALIVE_MS, self._notice, self._life)
        elif self.up and self.ready:
            self.ready = False
            self._line.tell(self.name, "lost its connection")
            self._line.after(self._dice.randint(500, 30_000), self._reconnect, self._life)

    def _notice(self, life: int) -> None:
        if life == self._life:
            self.cut()

    def _reconnect(self, life: int) -> None:
        if life == self._life and not self.ready:
            self._uplink.connect(self)

    def try_again(self) -> None:
        """The broker could not be reached."""
        self._line.after(self._dice.randint(20_000, 600_000), self._reconnect, self._life)

    def _publish_soon(self, after_ms: int) -> None:
        if not self._publishes:
            self._publishes = True
            self._line.after(after_ms, self._publish, self._life)

    def _publish(self, life: int) -> None:
        if life != self._life:
            return
        self._publishes = False
        self._publish_once()
        if self.ready and self._courier.waits():
            self._publish_soon(int(AGAIN_LOOK_S * 1000) * 5)

    def _publish_once(self) -> None:
        if not self.ready:
            return
        now_s = self.steady_ns() / 1e9
        ask = self._courier.ask(now_s)
        unsent = self._outbox.numbers_after(ask.after, ask.limit) if ask.limit else []
        for number in self._courier.due(ask, unsent, now_s):
            payload = self._outbox.payload(number)
            if payload is None:
                self._courier.settled([number])
            else:
                self._uplink.publish(self, topics.batch(self.name), payload)
                self._courier.published(number, now_s)

    # ------------------------------------------------------------------------------------ broker → disk
    def receive(self, topic: str, payload: bytes) -> None:
        """A message from the broker: only receipts are for us here."""
        if not self.ready or topic != topics.receipt(self.name):
            return
        try:
            settled = self._outbox.settle(payload)
        except WireError as error:
            self._line.tell(self.name, f"refuses a receipt: {error.code}")
            return
        self._courier.settled(settled.gone)
        self._courier.renamed(settled.renamed)
        for number in settled.gone:
            self.book.waiting.pop(number, None)
        refused = dict(sorted(Counter(settled.refused).items()))
        self._line.tell(self.name, f"settles {list(settled.gone)} renames {list(settled.renamed)} refused {refused}")
        self._publish_soon(0)
