"""The supervised scanner hears again after every fault that kills bleak's without a word, and says why it restarted."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import structlog
from bleak.backends.bluezdbus.manager import _global_instances

from gateway.bluez import BluezWatch
from gateway.clock import steady_clock
from gateway.collector import Collector
from gateway.scan import Radio, ScanError
from gateway.supervise import Supervisor
from tests.gateway.air import NETWORK, Air, address, frame

# On an idle machine the scanner is back within 0.1 s; two busy cores may take longer.
BACK_S = 10.0


class Ears:
    """A supervised radio in this event loop, and the air it listens to."""

    def __init__(self, air: Air, silence_s: float) -> None:
        self.air = air
        steady_ns = steady_clock()
        self.collector = Collector(network_id=NETWORK, now_ns=steady_ns())
        self.radio = Radio(self.collector, steady_ns)
        self.supervisor = Supervisor(self.radio, now_s=time.monotonic, silence_s=silence_s, log=structlog.get_logger())
        self.watch = BluezWatch(
            None, trouble=self.supervisor.trouble, calm=self.supervisor.calm, hope=self.supervisor.hope
        )
        self.supervisor.stack = self.watch
        self._number = 0

    async def away(self, work: Callable[[], object]) -> None:
        """Do something to the air, which lives in another thread."""
        await asyncio.to_thread(work)

    async def until(self, true: Callable[[], object], seconds: float = BACK_S) -> None:
        async with asyncio.timeout(seconds):
            while not true():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)

    async def hears(self) -> float:
        """Advertise until something is heard; seconds it took."""
        before, began = self.collector.heard_at(address(1)), time.monotonic()
        fates: Counter[str] = Counter()
        while self.collector.heard_at(address(1)) == before:
            self._number += 1
            fates[await asyncio.to_thread(self.air.hear, 1, frame(self._number))] += 1
            await asyncio.sleep(0.02)
            if time.monotonic() - began > BACK_S:
                about = (self.supervisor.state, self.supervisor.restarts, self.collector.dropped_total())
                raise AssertionError(f"deaf for {BACK_S} s: {fates} {about} {self.air.bluez.discovering()}")
        return time.monotonic() - began


@asynccontextmanager
async def ears(air: Air, silence_s: float = 60.0) -> AsyncIterator[Ears]:
    ours = Ears(air, silence_s)
    tasks = [asyncio.ensure_future(ours.supervisor.run()), asyncio.ensure_future(ours.watch.run())]
    try:
        await ours.hears()
        yield ours
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(60):
            await test()
        manager = _global_instances.pop(asyncio.get_running_loop(), None)
        if manager is not None and manager._bus is not None:
            manager._bus.disconnect()  # bleak keeps its connection for ever, the test's loop does not live so long
        await asyncio.sleep(0)

    asyncio.run(within())
    gc.collect()  # what a dead bus left unread is told now, and not inside of whatever comes next


@pytest.fixture(autouse=True)
def on_this_bus(air: Air, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", air.bus_address)


def test_adapter_off_and_on_and_off_again(air: Air) -> None:
    async def story() -> None:
        async with ears(air) as ours:
            for times in (1, 2):
                await ours.away(lambda: air.call(air.bluez.faults.power_off))
                await ours.until(lambda: ours.supervisor.state == "restarting")
                await asyncio.sleep(0.3)
                assert ours.supervisor.failure == "adapter_off"
                await ours.away(lambda: air.call(air.bluez.faults.power_on))
                await ours.until(lambda: ours.supervisor.state == "scanning")
                await ours.hears()
                assert ours.supervisor.restarts == {"adapter_off": times}, "a long outage is one trouble"

    run(story)


def test_a_stick_that_is_pulled_and_put_back(air: Air) -> None:
    async def story() -> None:
        async with ears(air) as ours:
            await ours.away(lambda: air.call(air.bluez.faults.unplug))
            await ours.until(lambda: ours.supervisor.failure in ("adapter_removed", "no_adapter"))
            await ours.away(lambda: air.call(air.bluez.faults.replug))
            await ours.hears()
            assert ours.supervisor.restarts["adapter_removed"] == 1

    run(story)


@pytest.mark.parametrize("down_s", [0.0, 1.0])
def test_bluetoothd_is_restarted(air: Air, down_s: float) -> None:
    async def story() -> None:
        async with ears(air) as ours:
            await ours.away(lambda: air.do(air.bluez.faults.restart_bluetoothd(down_s)))
            await ours.hears()
            assert ours.supervisor.restarts["bluetoothd_gone"] == 1

    run(story)


def test_bluetoothd_is_killed_and_the_kernel_still_scans(air: Air) -> None:
    async def story() -> None:
        async with ears(air) as ours:
            await ours.away(lambda: air.do(air.bluez.faults.kill_bluetoothd()))
            await ours.hears()
            assert ours.supervisor.restarts["bluetoothd_gone"] == 1
            assert ours.supervisor.restarts["in_progress"] == 1, "answered with a power cycle"

    run(story)


def test_an_adapter_that_bleak_missed_is_found_all_the_same(air: Air) -> None:
    """bluetoothd takes its name before it has its adapters; whoever asks in between gets a picture without them."""

    async def story() -> None:
        async with ears(air) as ours:
            manager = _global_instances[asyncio.get_running_loop()]
            await ours.away(lambda: air.do(air.bluez.stop_bluetoothd()))
            await ours.until(lambda: ours.supervisor.state == "restarting")
            await ours.away(lambda: air.do(air.bluez.start_bluetoothd()))
            await ours.hears()
            assert _global_instances[asyncio.get_running_loop()] is not manager, "a new picture of bluetoothd"

    run(story)


def test_dbus_is_restarted(air: Air) -> None:
    async def story() -> None:
        async with ears(air) as ours:
            await ours.away(lambda: air.do(air.bluez.faults.restart_bus()))
            await ours.hears()
            assert ours.supervisor.restarts["bus_lost"] == 1
            await ours.away(lambda: air.call(air.bluez.faults.power_off))
            await ours.away(lambda: air.call(air.bluez.faults.power_on))
            await ours.hears()
            # Seen as it happened, or, if the watcher was not back yet, found out when it was.
            assert ours.supervisor.restarts["adapter_off"] + ours.supervisor.restarts["discovery_ended"] == 1

    run(story)


def test_silence_makes_a_new_scanner(air: Air) -> None:
    async def story() -> None:
        async with ears(air, silence_s=1.0) as ours:
            await ours.until(lambda: ours.supervisor.restarts["silence"])
            await ours.hears()
            age_s = ours.supervisor.last_advert_age_s()
            assert age_s is not None
            assert age_s < 1.0

    run(story)


def test_paused_while_somebody_connects(air: Air) -> None:
    async def story() -> None:
        async with ears(air) as ours:
            async with ours.supervisor.paused():
                assert ours.supervisor.state == "paused"
                assert not air.bluez.discovering()
            await ours.hears()
            assert not ours.supervisor.restarts, "a pause is no fault"

    run(story)


def test_pausing_is_possible_while_the_adapter_is_off(air: Air) -> None:
    async def story() -> None:
        async with ears(air) as ours:
            await ours.away(lambda: air.call(air.bluez.faults.power_off))
            await ours.until(lambda: ours.supervisor.state == "restarting")
            async with ours.supervisor.paused():
                await ours.away(lambda: air.call(air.bluez.faults.power_on))
            await ours.hears()

    run(story)


class Stubborn:
    """A scanner as after a killed bluetoothd: every start says InProgress until the adapter was power-cycled."""

    adverts = 0

    def __init__(self) -> None:
        self.cycles = self.starts = 0

    async def start(self, adapter: str | None) -> None:
        self.starts += 1
        if not self.cycles:
            raise ScanError("in_progress", "Operation already in progress")

    async def stop(self) -> None:
        pass

    async def drop(self, *, dead: bool) -> None:
        pass

    async def choose(self) -> str | None:
        return None

    async def scans(self) -> bool | None:
        return None

    async def power_cycle(self) -> bool:
        self.cycles += 1
        return True


def test_in_progress_is_answered_with_a_power_cycle() -> None:
    async def story() -> None:
        radio = Stubborn()
        supervisor = Supervisor(radio, now_s=time.monotonic, silence_s=60, log=structlog.get_logger())
        supervisor.stack = radio
        task = asyncio.ensure_future(supervisor.run())
        async with asyncio.timeout(5):
            while supervisor.state != "scanning":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (radio.cycles, radio.starts) == (1, 3)
        assert supervisor.restarts == {"in_progress": 1}
        task.cancel()

    run(story)


def test_power_cycle_on_the_bus(air: Air) -> None:
    async def story() -> None:
        async with ears(air) as ours:
            assert await ours.watch.choose() == "hci0"
            assert await ours.watch.power_cycle()
            await ours.hears()
            assert ours.supervisor.restarts["adapter_off"] == 1

    run(story)


def test_without_any_bus_it_keeps_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        collector = Collector(network_id=NETWORK, now_ns=0)
        supervisor = Supervisor(
            Radio(collector, steady_clock()), now_s=time.monotonic, silence_s=60, log=structlog.get_logger()
        )
        task = asyncio.ensure_future(supervisor.run())
        await asyncio.sleep(0.5)
        assert not task.done()
        assert supervisor.failure
        task.cancel()

    run(story)
