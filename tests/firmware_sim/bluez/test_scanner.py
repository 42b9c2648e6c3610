"""What the unmodified bleak scanner hears through the simulated bluetoothd, and what it must not hear."""

from __future__ import annotations

import asyncio
import os
import signal

from bleak.args.bluez import OrPattern
from bleak.assigned_numbers import AdvertisementDataType

from firmware_sim.bluez.outgoing import WAITING_MAX
from tests.firmware_sim.bluez.ears import ALL, SERVICE_UUID, Ears, eventually, simulated

TAG, OTHER = "C0:FF:EE:00:00:01", "C0:FF:EE:00:00:02"


def frame(number: int) -> dict[str, bytes]:
    return {SERVICE_UUID: number.to_bytes(24)}


def test_a_hundred_tags_in_bursts_of_four_within_one_turn_are_all_heard() -> None:
    async def story() -> None:
        async with simulated() as bluez, Ears(ALL) as ears:
            for burst in range(25):
                for tag in range(burst * 4, burst * 4 + 4):
                    assert bluez.advertise_now(f"C0:FF:EE:00:00:{tag:02X}", frame(tag), -60 - tag % 30) == "told"
            await ears.until(100)
            heard = {address: (advert.service_data, advert.rssi) for address, advert in ears.heard}
            assert heard == {f"C0:FF:EE:00:00:{t:02X}": (frame(t), -60 - t % 30) for t in range(100)}

    asyncio.run(story())


def test_ten_thousand_adverts_in_one_turn_outgrow_the_socket_and_still_arrive() -> None:
    async def story() -> None:
        async with simulated() as bluez, Ears(ALL) as ears:
            for number in range(10_000):
                bluez.advertise_now(f"C0:FF:EE:00:00:{number % 100:02X}", frame(number), -60)
            await bluez.drained()
            await ears.until(10_000)
            assert [int.from_bytes(a.service_data[SERVICE_UUID]) for _, a in ears.heard] == list(range(10_000))

    asyncio.run(story())


def test_what_a_bus_cannot_take_is_dropped_and_counted() -> None:
    async def story() -> None:
        async with simulated() as bluez, Ears(ALL) as ears:
            assert bluez.bus.pid is not None
            os.kill(bluez.bus.pid, signal.SIGSTOP)
            for number in range(25_000):
                bluez.advertise_now(TAG, frame(number), -60)
            os.kill(bluez.bus.pid, signal.SIGCONT)
            assert bluez.counts.keys() == {"told", "bus_overrun"}
            assert bluez.counts.total() == 25_000
            assert bluez.counts["told"] >= WAITING_MAX
            await bluez.drained()
            await ears.until(bluez.counts["told"])
            assert await bluez.advertise(TAG, frame(1), -60) == "told"

    asyncio.run(story())


def test_two_addresses_and_a_spoofed_one_in_the_same_millisecond() -> None:
    async def story() -> None:
        async with simulated() as bluez, Ears(ALL) as ears:
            for number, address in enumerate((TAG, OTHER, TAG, TAG)):
                bluez.advertise_now(address, frame(number), -60)
            await ears.until(4)
            assert ears.frames(TAG) == [frame(n)[SERVICE_UUID] for n in (0, 2, 3)]
            assert ears.frames(OTHER) == [frame(1)[SERVICE_UUID]]

    asyncio.run(story())


def test_a_foreign_beacon_has_everything_a_beacon_has() -> None:
    async def story() -> None:
        async with simulated() as bluez, Ears(ALL) as ears:
            uuids = ("0000180f-0000-1000-8000-00805f9b34fb",)
            more = {"manufacturer_data": {0x004C: b"\x02\x15beacon"}, "name": "Thermo", "tx_power_dbm": -4}
            bluez.advertise_now(OTHER, {}, -71, service_uuids=uuids, **more)  # type: ignore[arg-type]
            await ears.until(1)
            advert = ears.heard[0][1]
            assert (advert.manufacturer_data, advert.service_data) == ({0x004C: b"\x02\x15beacon"}, {})
            assert (advert.local_name, advert.tx_power, advert.rssi) == ("Thermo", -4, -71)
            assert advert.service_uuids == list(uuids)

    asyncio.run(story())


def test_with_our_filters_every_advert_is_told_even_a_repeated_one() -> None:
    async def story() -> None:
        async with simulated() as bluez, Ears(ALL) as ears:
            for rssi in (-60, -60, -61):
                bluez.advertise_now(TAG, frame(7), rssi)
            await ears.until(3)
            assert ears.strengths(TAG) == [-60, -60, -61]

    asyncio.run(story())


def test_with_bleaks_own_filters_a_steady_tag_is_heard_once() -> None:
    async def story() -> None:
        async with simulated() as bluez, Ears() as ears:
            fates = [bluez.advertise_now(TAG, frame(7), rssi) for rssi in (-60, -60, -67, -68, -61, -60)]
            assert fates == ["told", "repeated", "repeated", "told", "repeated", "told"]
            await ears.until(3)
            assert ears.strengths(TAG) == [-60, -68, -60]
            bluez.advertise_now(TAG, frame(8), -60)
            await ears.until(4)

    asyncio.run(story())


def test_without_duplicate_data_old_and_new_are_mixed() -> None:
    """Why a gateway asks for DuplicateData: nobody could say which of the two was heard now."""

    async def story() -> None:
        first, second = {SERVICE_UUID: b"first"}, {"0000feaa-0000-1000-8000-00805f9b34fb": b"second"}
        for filters, expected in ((None, first | second), (ALL, second)):
            async with simulated() as bluez, Ears(filters) as ears:
                bluez.advertise_now(TAG, first, -60)
                bluez.advertise_now(TAG, second, -60)
                await ears.until(2)
                assert ears.heard[-1][1].service_data == expected

    asyncio.run(story())


def test_what_a_packet_does_not_carry_stays_from_an_earlier_one() -> None:
    async def story() -> None:
        async with simulated() as bluez, Ears(ALL) as ears:
            bluez.advertise_now(TAG, frame(7), -60)
            bluez.advertise_now(TAG, {}, -60, manufacturer_data={0xFFFF: b"x"})
            await ears.until(2)
            assert ears.heard[1][1].service_data == frame(7)

    asyncio.run(story())


def test_nobody_discovers_nobody_is_told() -> None:
    async def story() -> None:
        async with simulated() as bluez:
            assert await bluez.advertise(TAG, frame(1), -60) == "nobody_discovers"
            async with Ears(ALL) as ears:
                assert bluez.discovering()
                assert await bluez.advertise(TAG, frame(2), -60) == "told"
                await ears.until(1)
            assert not bluez.discovering()
            assert await bluez.advertise(TAG, frame(3), -60) == "nobody_discovers"

    asyncio.run(story())


def test_filters_by_strength_and_by_service() -> None:
    async def story() -> None:
        async with simulated() as bluez:
            async with Ears({"RSSI": -70}):
                assert [bluez.advertise_now(TAG, frame(1), rssi) for rssi in (-71, -70)] == ["filtered", "told"]
            # Service data does not make a service: bluetoothd looks at the list of uuids only.
            async with Ears(ALL, service_uuids=[SERVICE_UUID]):
                assert bluez.advertise_now(TAG, frame(1), -60) == "filtered"
                assert bluez.advertise_now(TAG, frame(1), -60, service_uuids=(SERVICE_UUID,)) == "told"

    asyncio.run(story())


def test_a_device_vanishes_when_it_was_not_seen_for_long_enough() -> None:
    async def story() -> None:
        async with simulated(temporary_timeout_s=0.15) as bluez, Ears(ALL) as ears:
            for _ in range(5):
                bluez.advertise_now(TAG, frame(1), -60)
                bluez.advertise_now(OTHER, frame(2), -60) if _ == 0 else None
                await asyncio.sleep(0.05)
            assert TAG in ears.scanner.discovered_devices_and_advertisement_data
            assert OTHER not in ears.scanner.discovered_devices_and_advertisement_data
            await eventually(lambda: not ears.scanner.discovered_devices_and_advertisement_data)

    asyncio.run(story())


def test_at_the_end_of_discovery_strengths_go_and_beacons_vanish() -> None:
    async def story() -> None:
        async with simulated() as bluez, Ears(ALL, bluez={"adapter": "hci0"}) as first:
            bluez.advertise_now(TAG, frame(1), -60)
            bluez.advertise_now(OTHER, frame(2), -60, connectable=False)
            await first.until(2)
            await first.scanner.stop()
            second = Ears(ALL)
            await second.scanner.start()
            assert bluez.adapter().device(TAG) is not None
            assert bluez.adapter().device(OTHER) is None
            await second.scanner.stop()

    asyncio.run(story())


def test_passive_scanning_hears_its_pattern_once_and_then_steps_of_8_db() -> None:
    async def story() -> None:
        pattern = OrPattern(0, AdvertisementDataType.SERVICE_DATA_UUID16, bytes.fromhex("b2fc"))
        ears = Ears(scanning_mode="passive", bluez={"or_patterns": [pattern]})
        async with simulated() as bluez, ears:
            await eventually(lambda: bluez.adapter().monitors.active)
            fates = [bluez.advertise_now(TAG, frame(1), rssi) for rssi in (-60, -61, -68)]
            assert fates == ["told", "repeated", "told"]
            assert bluez.advertise_now(OTHER, {}, -60, manufacturer_data={1: b"x"}) == "nobody_discovers"
            await ears.until(2)

    asyncio.run(story())


def test_with_two_adapters_each_hears_its_own() -> None:
    async def story() -> None:
        async with simulated(adapters=("hci0", "hci1")) as bluez, Ears(ALL, bluez={"adapter": "hci1"}) as ears:
            assert bluez.advertise_now(TAG, frame(1), -60, adapter="hci0") == "nobody_discovers"
            assert bluez.advertise_now(TAG, frame(2), -60, adapter="hci1") == "told"
            await ears.until(1)
            assert bluez.advertise_now(TAG, frame(2), -60, adapter="hci7") == "no_adapter"

    asyncio.run(story())
