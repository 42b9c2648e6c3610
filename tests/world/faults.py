"""What goes wrong in one world, drawn from its seed: first how bad each thing is, then when it happens.

Every world has its own weather. Some have one kind of trouble only, some have all of them, one in twelve has none;
faults that are always mixed hide one another.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from tests.world.cast import DEPOT, HOME, STREET, WAREHOUSE
from tests.world.timeline import HOUR_MS, MINUTE_MS
from tests.world.workers import Doom
from wire import topics
from wire.batch import MAX_BYTES

if TYPE_CHECKING:
    from tests.world.run import World

# How often a thing happens in the two and a half days of a story, if this world has it at all.
_TIMES: Final = {
    "kill_worker": (3, 12),
    "kill_worker_in_step": (4, 16),
    "fail_statement": (4, 16),
    "fail_commit": (3, 10),
    "cut_backend": (1, 3),
    "hold_lock": (2, 6),
    "cut_worker": (3, 12),
    "restart_broker": (1, 5),
    "cut_gateway": (4, 16),
    "part_gateway": (1, 5),
    "restart_gateway": (2, 10),
    "restore_card": (1, 5),
    "clock": (1, 6),
    "replay": (1, 4),
    "spoof": (3, 12),
    "foreign": (2, 6),
    "stranger": (2, 8),
    "blackout": (1, 2),
}
_SHARE: Final = 0.45


class Faults:
    """The faults of one world, put on its timeline."""

    def __init__(self, world: World, dice: Random) -> None:
        self._world, self._dice = world, dice
        calm = dice.random() < 1 / 12
        share = 1.0 if dice.random() < 0.1 else _SHARE
        self.drawn = {
            name: 0 if calm or dice.random() >= share else dice.randint(*times) for name, times in _TIMES.items()
        }
        truth = world.truth
        for name, count in self.drawn.items():
            do: Callable[[], None] = getattr(self, f"_{name}")
            for _ in range(count):
                world.line.at(dice.randint(truth.begins_ms + MINUTE_MS, truth.ends_ms - HOUR_MS), do)
        for _ in range(self.drawn["restore_card"] * 2):
            world.line.at(dice.randint(truth.begins_ms, truth.ends_ms - 2 * HOUR_MS), self._copy_card)

    def _span_ms(self, *choices: int) -> int:
        """A duration: one of these magnitudes, give or take a half."""
        return int(self._dice.choice(choices) * self._dice.uniform(0.5, 1.5))

    # --- workers and their database

    def _kill_worker(self) -> None:
        self._dice.choice(self._world.workers).kill("from outside")

    def _doom(self, what: str, only: str | None, steps: int) -> None:
        worker = self._dice.choice(self._world.workers)
        worker.dooms.append(Doom(self._dice.randint(1, steps), what, only))

    def _kill_worker_in_step(self) -> None:
        self._doom("kill", *self._dice.choice((("sql", 25), ("commit", 1), ("answer", 1), ("send", 1), ("ready", 1))))

    def _fail_statement(self) -> None:
        self._doom("error", "sql", 25)

    def _fail_commit(self) -> None:
        self._doom(self._dice.choice(("error", "unknown")), "commit", 2)

    def _cut_backend(self) -> None:
        self._doom("cut", "sql", 20)

    def _hold_lock(self) -> None:
        world, table = self._world, self._dice.choice(("outboxes", "batches", "sightings", "weighings"))
        if not world.lock_held and world.house.hold_lock(table):
            world.line.tell("database", f"{table} is held")
            world.lock_held = True
            world.line.after(self._span_ms(500, 5_000, 40_000), world.let_go)

    def _cut_worker(self) -> None:
        self._world.broker.cut_worker(self._dice.choice(self._world.workers).name)

    # --- broker and network

    def _restart_broker(self) -> None:
        self._world.broker.stop(forgets=self._dice.random() < 0.5)
        self._world.line.after(self._span_ms(2_000, 5 * MINUTE_MS), self._world.broker.start)

    def _cut_gateway(self) -> None:
        self._world.broker.cut_gateway(self._any_gateway())

    def _part_gateway(self) -> None:
        name = self._any_gateway()
        self._world.broker.part(name)
        self._world.line.after(self._span_ms(2 * MINUTE_MS, HOUR_MS, 12 * HOUR_MS), self._world.broker.join, name)

    def _blackout(self) -> None:
        """Nobody reaches the broker for hours, and then all at once."""
        span_ms = self._span_ms(HOUR_MS, 8 * HOUR_MS)
        for name in self._world.gateways:
            self._world.broker.part(name)
            self._world.line.after(span_ms, self._world.broker.join, name)

    def _stranger(self) -> None:
        """Somebody else talks to the broker: garbage, another's name, a body without its signature, a false receipt."""
        world, name = self._world, self._any_gateway()
        noise = self._dice.randbytes(200)
        forged = noise[:64] + (world.overheard or noise)[64:]
        world.house.forged.add(forged)
        payload = self._dice.choice((b"", noise[:40], noise, forged, forged, bytes(MAX_BYTES + 1)))
        topic = self._dice.choice((topics.batch(name), topics.batch(name), topics.receipt(name)))
        world.broker.inject(topic, payload)

    # --- gateways

    def _any_gateway(self) -> str:
        return self._dice.choice(list(self._world.gateways))

    def _restart_gateway(self) -> None:
        gateway = self._world.gateways[self._any_gateway()]
        if gateway.up:
            gateway.kill() if self._dice.random() < 0.6 else gateway.stop()
            if self._dice.random() < 0.4:
                gateway.reboot_clock()
            self._world.line.after(
                self._span_ms(5_000, 10 * MINUTE_MS, 2 * HOUR_MS), self._world.start_gateway, gateway
            )

    def _copy_card(self) -> None:
        self._world.gateways[self._any_gateway()].copy_card()

    def _restore_card(self) -> None:
        gateway = self._world.gateways[self._dice.choice([g for g in self._world.gateways if g != "van-1"])]
        if gateway.up:
            gateway.kill() if self._dice.random() < 0.5 else gateway.stop()
            gateway.restore_card()
            self._world.line.after(self._span_ms(60_000, 30 * MINUTE_MS), self._world.start_gateway, gateway)

    def _clock(self) -> None:
        """Its clock is lost, or set by hand, and nobody keeps it; later NTP does."""
        gateway = self._world.gateways[self._any_gateway()]
        magnitude = self._span_ms(1_500, 40_000, 10 * MINUTE_MS, 3 * HOUR_MS)
        skew_ms = self._dice.choice((magnitude, -magnitude, -magnitude))
        if self._dice.random() < 0.15:
            skew_ms = -self._world.line.now_ms + self._dice.randint(0, HOUR_MS)  # no battery: it is 1970
        gateway.set_clock(skew_ms, synchronised=False)
        good_ms = self._dice.randint(-1_500, 1_500)
        back_ms = self._span_ms(MINUTE_MS, HOUR_MS, 6 * HOUR_MS)
        self._world.line.after(back_ms, lambda: gateway.set_clock(good_ms, synchronised=True))

    # --- others in the air

    def _spoof(self) -> None:
        self._world.air.spoof(self._dice.choice((WAREHOUSE, DEPOT, HOME)))

    def _foreign(self) -> None:
        self._world.air.foreign(self._dice.choice((WAREHOUSE, WAREHOUSE, HOME)), self._dice.randint(1, 40))

    def _replay(self) -> None:
        spots = (WAREHOUSE, WAREHOUSE, DEPOT, STREET, HOME)
        played_at = self._dice.choice(spots)
        self._world.air.replay(self._dice.choice(spots), played_at, self._dice.randint(1, 12))
