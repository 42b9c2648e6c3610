"""A tag in somebody's hand: the real firmware in the simulated air, its time ten times as fast as ours."""

from __future__ import annotations

import asyncio
import random
import time
from types import TracebackType

from firmware_sim.peripheral import ClaimPeripheral, TagCell
from firmware_sim.tag import ButtonPress, Event, PowerOn, TagState, Tick, Unit, remember, step
from tests.gateway.air import Air
from wire.frames import SERVICE_UUID

FASTER = 10.0


class _Watched(ClaimPeripheral):
    """Notes who is connected."""

    linked = False
    links = 0

    def on_connect(self) -> None:
        self.linked, self.links = True, self.links + 1
        super().on_connect()

    def on_disconnect(self) -> None:
        links = self.links
        super().on_disconnect()
        self.linked, self.links = False, links


class TagInHand:
    """`with TagInHand(air, unit) as tag:` it beacons once a second until the end."""

    def __init__(self, air: Air, unit: Unit, owner_hash: bytes = b"") -> None:
        self._air = air
        self._began = time.time()
        self._dice = random.Random(unit.serial).randbytes
        self.cell = TagCell(TagState(unit), self.now_s, self._dice)
        self.door = _Watched(self.cell)
        self.happens(PowerOn(self.now_s()))
        if owner_hash:
            self.cell.state = remember(self.cell.state, self.now_s(), owner_hash)

    def now_s(self) -> float:
        return self._began + (time.time() - self._began) * FASTER

    def happens(self, event: Event) -> None:
        self.cell.state, outputs = step(self.cell.state, event, self._dice)
        for advertise in outputs:
            self._air.bluez.advertise_now(advertise.address, {SERVICE_UUID: advertise.frame}, -50)

    def press(self) -> None:
        self._air.call(lambda: self.happens(ButtonPress(self.now_s())))

    @property
    def owner_hash(self) -> bytes:
        return self.cell.state.nvm.owner_hash

    async def _live(self) -> None:
        assert self.cell.state.ram is not None
        self._air.bluez.set_peripheral(self.cell.state.ram.address, self.door)
        while True:
            self.happens(Tick(self.now_s()))
            await asyncio.sleep(0.1)

    def __enter__(self) -> TagInHand:
        self._life = self._air.call(lambda: asyncio.ensure_future(self._live()))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._air.call(self._life.cancel)
