"""The claim service's door: a tag as a Bluetooth device that one can connect to, read and write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from firmware_sim.bluez import GattCharacteristicSpec, GattError, GattServiceSpec
from firmware_sim.claim import Link, read_nonce, take_message
from firmware_sim.tag import Dice, TagState
from wire import gatt
from wire.errors import WireError
from wire.gatt import AttError

SERVICE: Final = GattServiceSpec(
    gatt.CLAIM_SERVICE_UUID,
    (
        GattCharacteristicSpec(gatt.NONCE_UUID, ("read",)),
        GattCharacteristicSpec(gatt.MESSAGE_UUID, ("write",)),
        GattCharacteristicSpec(gatt.ANSWER_UUID, ("read",)),
    ),
)


@dataclass(slots=True)
class TagCell:
    """Where a running simulation keeps one tag, with the clock and the dice it was given."""

    state: TagState
    now_s: Callable[[], float]
    dice: Dice
    changed: Callable[[TagState], None] = lambda _state: None


class ClaimPeripheral:
    """One connection's view of a tag. Each radio that may connect gets its own, all share the cell."""

    def __init__(self, cell: TagCell) -> None:
        self._cell = cell
        self._link, self._reassembler, self._answer = Link(), gatt.Reassembler(), b""

    def gatt_services(self) -> tuple[GattServiceSpec, ...]:
        return (SERVICE,)

    async def read(self, char_uuid: str) -> bytes:
        if char_uuid == gatt.ANSWER_UUID:
            return self._answer
        self._link = read_nonce(self._cell.dice)
        assert self._link.nonce is not None
        return self._link.nonce

    async def write(self, char_uuid: str, data: bytes) -> None:
        """Takes one chunk; the last one of a message has the tag act. Raises GattError with the tag's refusal."""
        try:
            message = self._reassembler.feed(data)
        except WireError:
            raise GattError(AttError.INVALID_VALUE) from None
        if message is None:
            return
        turn = take_message(self._cell.state, self._link, message, self._cell.now_s())
        self._link, self._answer = turn.link, turn.reply
        if turn.refused is not None:
            raise GattError(turn.refused)
        self._cell.state = turn.state
        self._cell.changed(turn.state)

    def subscribe(self, char_uuid: str, callback: Callable[[bytes], None]) -> None:
        """Nothing notifies here: the answer is read."""

    def unsubscribe(self, char_uuid: str) -> None:
        """Nothing to end."""

    def on_connect(self) -> None:
        self._link, self._reassembler, self._answer = Link(), gatt.Reassembler(), b""

    def on_disconnect(self) -> None:
        self.on_connect()
