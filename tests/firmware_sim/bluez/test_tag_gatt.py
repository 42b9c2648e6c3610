"""A tag's two services through the unmodified bleak client: a year of identifiers, a broken link, a stranger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random

import pytest
from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakGATTProtocolError

from firmware_sim.bluez import SimulatedBluez
from firmware_sim.peripheral import ClaimPeripheral, TagCell
from firmware_sim.tag import Advertise, ButtonPress, Event, PowerOn, TagState, Tick, step
from gateway.tagclient import TagClient, TagError
from tests.firmware_sim.bluez.ears import ALL, SERVICE_UUID, Ears, eventually, simulated
from tests.firmware_sim.conftest import make_unit
from tests.firmware_sim.owners import Owner
from wire import gatt, nonowner, set_owner
from wire.frames import FrameType, frame_kind, tick_of, verify_n
from wire.gatt import AttError, Op
from wire.nonowner import NON_OWNER_UUID, Opcode, Response

NOW_S = 1_790_000_000.0
ANN = Owner("Ann")


class Room:
    """One tag in the simulated air, its time in our hands."""

    def __init__(self, bluez: SimulatedBluez) -> None:
        self.bluez, self.now_s = bluez, NOW_S
        self.cell = TagCell(TagState(make_unit()), lambda: self.now_s, Random(1).randbytes)
        self.peripheral = ClaimPeripheral(self.cell)
        self.happens(PowerOn(self.now_s))

    def happens(self, event: Event) -> tuple[Advertise, ...]:
        self.cell.state, said = step(self.cell.state, event, self.cell.dice)
        self.peripheral.time_passed()
        return said

    def beacon(self, after_s: float = 31.0) -> Advertise:
        """Time passes until the tag says something; whoever listens may connect then."""
        self.now_s += after_s
        (said,) = self.happens(Tick(self.now_s))
        self.bluez.set_peripheral(said.address, self.peripheral)
        self.bluez.advertise_now(said.address, {SERVICE_UUID: said.frame}, -60)
        return said

    async def found(self) -> BLEDevice:
        async with Ears(ALL) as ears:
            said = self.beacon()
            await ears.until(1)
        return ears.devices[said.address]


def play(story: Callable[[Room], Coroutine[None, None, None]]) -> None:
    async def told() -> None:
        async with simulated() as bluez:
            await story(Room(bluez))

    asyncio.run(told())


async def say(client: TagClient, op: Op, data: Callable[[bytes], bytes]) -> bytes:
    """One message of Ann's over the gateway's own client."""
    nonce = await client.nonce()
    filled = data(nonce)
    reply = await client.say(gatt.encode_message(op, filled, gatt.claim_mac(ANN.k_claim, nonce, op, filled)))
    return gatt.decode_reply(reply, op)


async def tell(client: TagClient, plain: Callable[[bytes], bytes]) -> int:
    """One step of setting an owner; how many EIDs the tag holds then."""
    dice = ANN.dice(set_owner.IV_LEN)
    answer = await say(client, Op.SET_OWNER, lambda n: set_owner.seal_step(ANN.k_claim, n, dice, plain(n)))
    return set_owner.decode_held(answer)


def begin(first_day: int, eids: bytes) -> Callable[[bytes], bytes]:
    return lambda nonce: set_owner.encode_begin(
        ANN.key, serial=700, nonce=nonce, k_own=ANN.k_own, first_day=first_day, eids=eids
    )


def test_a_year_of_identifiers_over_a_link_that_breaks_twice() -> None:
    async def story(room: Room) -> None:
        first_day, eids = ANN.list(NOW_S, 366)
        device = await room.found()
        client = TagClient(device)
        await client.connect()
        with pytest.raises(TagError) as unpressed:
            await tell(client, begin(first_day, eids))
        assert unpressed.value.att == AttError.NO_CONSENT
        room.happens(ButtonPress(room.now_s))
        held, breaks = 0, 0
        while held < 366:
            held = await tell(client, begin(first_day, eids))
            for number, plain in enumerate(set_owner.split_list(eids, held)):
                if number == 2:
                    breaks += 1
                    room.bluez.faults.drop_link(device.address)
                    await eventually(lambda link=client: not link.connected)  # type: ignore[misc]
                    client = TagClient(device)
                    await client.connect()
                    break
                held = await tell(client, lambda _nonce, part=plain: part)  # type: ignore[misc]
            assert not room.cell.state.nvm.k_own, "nothing counts before the end"
        await tell(client, lambda _nonce: set_owner.encode_finish(int(room.now_s)))
        assert breaks == 2
        state = await say(client, Op.STATE, lambda _nonce: b"")
        assert state == b"\x02" + ANN.hash + first_day.to_bytes(4, "big") + (366).to_bytes(2, "big")
        await client.close()
        assert (room.cell.state.nvm.k_own, room.cell.state.nvm.eids) == (ANN.k_own, eids)
        said = room.beacon()
        assert said.address != device.address
        assert verify_n(said.frame, ANN.k_own, tick_of(int(room.now_s)))

    play(story)


def test_the_owner_comes_by_rings_it_and_clears_it() -> None:
    async def story(room: Room) -> None:
        room.cell.state = ANN.take(room.cell.state, NOW_S, 3)
        assert frame_kind(room.beacon(3_600).frame) is FrameType.OWNED
        client = TagClient(await room.found())
        await client.connect()
        await say(client, Op.NEAR, lambda nonce: gatt.near_data(ANN.k_own, nonce, int(room.now_s)))
        assert frame_kind(room.beacon().frame) is FrameType.NEAR_OWNER
        await say(client, Op.RING, lambda nonce: gatt.ring_data(ANN.k_own, nonce, 20))
        assert room.cell.state.ram is not None
        assert room.cell.state.ram.sound_until_at_s == room.now_s + 20
        with pytest.raises(TagError) as forged:
            await say(client, Op.RING, lambda nonce: gatt.ring_data(bytes(16), nonce, 20))
        assert forged.value.att == AttError.UNAUTHENTICATED

        def proof(nonce: bytes) -> bytes:
            return b"\x01" + gatt.owner_clear_proof(ANN.k_own, nonce)

        with pytest.raises(TagError) as unpressed:
            await say(client, Op.CLEAR, proof)
        assert unpressed.value.att == AttError.NO_CONSENT
        room.happens(ButtonPress(room.now_s))
        assert await say(client, Op.CLEAR, proof) == b""
        await client.close()
        assert frame_kind(room.beacon().frame) is FrameType.PROVENANCE

    play(story)


def test_a_stranger_finds_a_tag_among_their_things() -> None:
    async def story(room: Room) -> None:
        room.cell.state = ANN.take(room.cell.state, NOW_S, 3)
        room.beacon(3_600)
        async with BleakClient(await room.found()) as client:
            got: list[bytes] = []
            await client.start_notify(NON_OWNER_UUID, lambda _c, value: got.append(bytes(value)))

            async def ask(opcode: Opcode) -> bytes:
                count = len(got)
                await client.write_gatt_char(NON_OWNER_UUID, nonowner.encode_said(opcode), response=True)
                await eventually(lambda: len(got) > count)
                return got[-1]

            assert (await ask(Opcode.GET_MODEL_NAME))[2:] == b"Simulated tag"
            refused = nonowner.encode_response(Opcode.GET_IDENTIFIER, Response.INVALID_COMMAND)
            assert await ask(Opcode.GET_IDENTIFIER) == refused
            room.happens(ButtonPress(room.now_s))
            identifier = nonowner.decode_said(await ask(Opcode.GET_IDENTIFIER))
            assert (identifier.opcode, len(identifier.operand)) == (Opcode.IDENTIFIER, 48)
            assert await ask(Opcode.SOUND_START) == nonowner.encode_response(Opcode.SOUND_START, Response.SUCCESS)
            count = len(got)
            room.beacon()
            await eventually(lambda: len(got) > count)
            assert got[-1] == nonowner.encode_said(Opcode.SOUND_COMPLETED)
            with pytest.raises(BleakGATTProtocolError) as owners:
                await client.write_gatt_char(gatt.MESSAGE_UUID, b"\xc0\x01\x00\x00" + bytes(8), response=True)
            assert int(owners.value.code) == AttError.UNAUTHENTICATED

    play(story)
