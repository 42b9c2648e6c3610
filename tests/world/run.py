"""One world: everything put together under a seed, a phase with faults, a healing phase, and the oracle's word.

truth ─▶ air ─▶ gateways ─▶ broker ─▶ workers ─▶ PostgreSQL ─▶ answers
                    ▲                    │                        │
                    └───── receipts ─────┘             oracle ◀───┘ and the truth again
"""

from __future__ import annotations

import shutil
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from server.rules.authority import Role
from server.rules.facts import Source
from server.service import orders
from server.service.orders import Said
from server.store.orders import StoredOrder, StoredSlot
from tests.world import cast, sightings, verdicts
from tests.world.air import Air
from tests.world.broker import Broker, Weather
from tests.world.faults import Faults
from tests.world.gateways import Gateway
from tests.world.house import House
from tests.world.timeline import HOUR_MS, MINUTE_MS, Timeline, moment
from tests.world.truth import MONDAY, Parcel, Word, draw
from tests.world.workers import BrokenPromise, Habits, SimWorker

# After the last fault everything must be settled within this; the longest patience on the way is two minutes.
HEALING_MS: Final = 2 * HOUR_MS
# An outbox in memory costs no fsync.
_MEMORY: Final = Path("/dev/shm")


class NotDrainedError(AssertionError):
    """Something still waits after the healing phase."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one seed. `wrong` is empty if it passed; `last` are the last things that happened."""

    seed: int
    digest: str
    events: int
    wrong: str
    last: tuple[str, ...]
    facts: dict[str, int]

    @property
    def passed(self) -> bool:
        return not self.wrong


class World:
    """The parts of one seed and how they hang together."""

    def __init__(self, seed: int, house: House, folder: Path) -> None:
        self.line = Timeline(seed, MONDAY)
        dice = self.line.dice("world")
        self.truth = draw(self.line.dice("truth"))
        self.line.now_ms = self.truth.begins_ms
        self.house = house
        self.lock_held = self.late_lot_known = False
        self.overheard: bytes | None = None
        self.asked = 0
        self.weather = Weather(
            dice.choice((0, 0, 0.02, 0.2)), dice.choice((0, 0.02, 0.3)), dice.choice((20, 400, 8_000))
        )
        count = dice.choice((1, 1, 2, 3))
        receive_max = dice.choice((2, *[12] * 3, *[2_000] * 8))
        self.broker = Broker(
            self.line, self.weather, receive_max=receive_max,
            queue_max=dice.choice((8, 100_000, 100_000)), hands_over=dice.random() < 0.5,
        )  # fmt: skip
        habits = Habits(
            lull=dice.choice((0.0, 0.02, 0.15)),
            lull_ms=dice.choice((5, 500, 10_000)),
            set_max=dice.choice((6, 40, 500)),
            linger_ms=dice.choice((5_000, 70_000, 120_000, 180_000)) if receive_max > 2 else 500,
        )
        self.workers = [SimWorker(n, self.line, house, self.broker, habits) for n in range(count)]
        server_key = house.server_key.public_key().public_bytes_raw()
        limit = dice.choice((4_000, 10**7, 10**7, 10**7, 10**7))
        self.gateways = {
            each.name: Gateway(self.line, each, folder / each.name, server_key, self, limit_bytes=limit)
            for each in cast.GATEWAYS
        }
        self.air = Air(self.line, self.truth, self.gateways, dice.choice((0.0, 0.1, 0.4)))
        self._begin()
        self.faults = Faults(self, self.line.dice("faults"))
        if dice.random() < 0.7:
            self.line.at(dice.randint(self.truth.begins_ms, self.truth.ends_ms), self._import_late_lot)
        for _ in range(dice.choice((0, 1, 2))):
            self.line.at(dice.randint(self.truth.begins_ms + 8 * HOUR_MS, self.truth.ends_ms), self._ask)

    def _begin(self) -> None:
        self.house.on_statement = self._at_statement
        self.house.on_commit = self._at_commit
        for worker in self.workers:
            worker.start()
        for gateway in self.gateways.values():
            self.line.after(1_000, self.start_gateway, gateway)
        for parcel in self.truth.parcels:
            if parcel.order:
                self._place_order(parcel)
                for word in parcel.words:
                    self.line.at(word.learnt_ms, self._say, parcel, word)
        self._drive()

    def _at_statement(self, tx: Connection) -> None:
        for worker in self.workers:
            if worker.inside:
                worker.step("sql", tx)

    def _at_commit(self, tx: Connection) -> None:
        for worker in self.workers:
            if worker.inside:
                worker.step("commit", tx)

    # --- the way to the broker, as gateways see it

    def connect(self, gateway: Gateway) -> None:
        self.broker.connect(gateway)

    def leave(self, gateway: Gateway) -> None:
        self.broker.leave(gateway)

    def publish(self, gateway: Gateway, topic: str, payload: bytes) -> None:
        self.overheard = payload
        self.broker.publish(gateway, topic, payload)

    # --- things that happen by themselves

    def start_gateway(self, gateway: Gateway) -> None:
        if not gateway.up:
            gateway.start()

    def _drive(self) -> None:
        """The van says where it is whenever that changes."""
        van = self.gateways[cast.VAN]
        spot = self.air.van_at(self.line.now_ms)
        van.move(spot.place if spot else None)
        if self.line.now_ms < self.truth.ends_ms:
            self.line.after(5 * MINUTE_MS, self._drive)

    def let_go(self) -> None:
        self.house.let_go()
        self.lock_held = False

    def _import_late_lot(self) -> None:
        try:
            self.house.import_late_lot(self.line.now)
        except OperationalError:
            self.line.after(1_000, self._import_late_lot)
            return
        self.late_lot_known = True
        self.line.tell("factory", "brings the key of its late lot")
        for worker in self.workers:
            worker.nudge(self.line.dice(worker.name + " keys").randint(2_000, 10 * MINUTE_MS))

    def _place_order(self, parcel: Parcel) -> None:
        home = cast.HOME.place
        place = {"lat": home.lat_e7 / 1e7, "lon": home.lon_e7 / 1e7, "accuracy_m": 20.0}
        placed_at = moment(self.truth.begins_ms - 12 * HOUR_MS)
        assert parcel.order is not None
        order = StoredOrder(
            parcel.order, "ann@example.com", "Ann", None, {"country": "DE", "postcode": "30159", "place": place},
            placed_at, cast.ZONE, cast.SITE, "none", "shop", placed_at, (StoredSlot(1, 1, 1, "TAG", "Tag"),),
        )  # fmt: skip
        with self.house.engine.begin() as tx:
            assert orders.record(tx, order)

    def _say(self, parcel: Parcel, word: Word) -> None:
        said = Said(
            word.key, word.kind, moment(word.said_ms), "somebody", word.source, 1,
            None if word.about_ms is None else moment(word.about_ms), zone=cast.ZONE, payload=word.payload,
        )  # fmt: skip
        role = Role.OPERATOR if word.source is Source.CARRIER else Role.LEAD
        assert parcel.order is not None
        try:
            with self.house.engine.begin() as tx:
                orders.state(tx, parcel.order, [said], role, self.line.now)
        except OperationalError:  # a table is held: whoever says it tries again
            self.line.after(5_000, self._say, parcel, word)
            return
        self.line.tell(parcel.order, f"{word.key} is said")

    def _ask(self) -> None:
        """Somebody looks at the orders in the middle of it all."""
        try:
            verdicts.check(self, final=False)
            self.asked += 1
        except OperationalError:
            self.line.after(30_000, self._ask)

    # --- the two phases

    def play(self) -> None:
        """From the first moment to the oracle's word. Raises AssertionError for whatever is wrong."""
        self.line.run(self.truth.ends_ms)
        self._heal()
        self.line.run(self.line.now_ms + HEALING_MS, self._drained)
        self._must_be_drained()
        sightings.check(self)
        verdicts.check(self, final=True)

    def _heal(self) -> None:
        self.line.tell("world", "heals")
        self.weather.fair()
        self.let_go()
        self.broker.start()
        for worker in self.workers:
            worker.dooms.clear()
            worker.hurry()
            worker.start()
        for name, gateway in self.gateways.items():
            self.broker.join(name)
            if not gateway.synchronised:
                gateway.set_clock(0, synchronised=True)
            if gateway.up:
                gateway.stop()  # in order: the open window goes to disk
            self.line.after(1_000, self.start_gateway, gateway)

    def _drained(self) -> bool:
        return (
            all(gateway.waiting == 0 for gateway in self.gateways.values())
            and not self.broker.waiting
            and all(worker.idle for worker in self.workers)
        )

    def _must_be_drained(self) -> None:
        if not self._drained():
            waiting = {name: gateway.waiting for name, gateway in self.gateways.items() if gateway.waiting}
            idle = [worker.idle for worker in self.workers]
            raise NotDrainedError(
                f"after healing there wait: outboxes {waiting}, broker {self.broker.waiting}, idle {idle}"
            )

    def end(self) -> None:
        """Nothing of this world lives on."""
        self.house.on_statement = self.house.on_commit = None
        for worker in self.workers:
            worker.end()
        for gateway in self.gateways.values():
            gateway.kill()
        self.house.let_go()


@contextmanager
def folder_for(seed: int) -> Iterator[Path]:
    """A folder for the outboxes of one world."""
    made = tempfile.mkdtemp(prefix=f"world-{seed}-", dir=_MEMORY if _MEMORY.is_dir() else None)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)


def play(seed: int, house: House) -> Result:
    """One seed from beginning to end."""
    house.empty()
    with folder_for(seed) as folder:
        world = World(seed, house, folder)
        wrong = ""
        try:
            world.play()
        except (AssertionError, BrokenPromise) as error:
            wrong = f"{type(error).__name__}: {error}" if str(error) else traceback.format_exc()
        except Exception:
            wrong = traceback.format_exc()
        finally:
            digest, last = world.line.digest, tuple(world.line.last)
            world.end()
    return Result(seed, digest, world.line.events, wrong, last, _facts(world))


def _facts(world: World) -> dict[str, int]:
    """What a world was made of: shows that faults do happen."""
    deaths = sum(sum(worker.deaths.values()) for worker in world.workers)
    retries = sum(worker.log.words["store_failed"] for worker in world.workers)
    return {
        "batches": sum(len(gateway.book.entries) for gateway in world.gateways.values()),
        "lost_with_cards": sum(len(gateway.lost) for gateway in world.gateways.values()),
        "tombstones": sum(len(gateway.book.buried) for gateway in world.gateways.values()),
        "kills": deaths,
        "retries": retries,
        "isolated": sum(worker.log.words["batch_isolated"] for worker in world.workers),
        "replays": world.air.replays,
        "asked": world.asked,
    }
