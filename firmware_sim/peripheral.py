"""The door of the tag's two services, owners' and strangers': a Bluetooth device to connect to, read and write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from firmware_sim.bluez import GattCharacteristicSpec, GattError, GattServiceSpec
from firmware_sim.claim import Link, read_nonce, take_message
from firmware_sim.nonowner import Heard, Visit, take_write, time_passed
from firmware_sim.tag import Dice, TagState
from wire import gatt
from wire.errors import WireError
from wire.gatt import AttError
from wire.nonowner import NON_OWNER_SERVICE_UUID, NON_OWNER_UUID

SERVICE: Final = GattServiceSpec(
    gatt.CLAIM_SERVICE_UUID,
    (
        GattCharacteristicSpec(gatt.NONCE_UUID, ("read",)),
        GattCharacteristicSpec(gatt.MESSAGE_UUID, ("write",)),
        GattCharacteristicSpec(gatt.ANSWER_UUID, ("read",)),
    ),
)
NON_OWNER_SERVICE: Final = GattServiceSpec(
    NON_OWNER_SERVICE_UUID, (GattCharacteristicSpec(NON_OWNER_UUID, ("write", "indicate")),)
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
        self._indicate: Callable[[bytes], None] | None = None
        self._link, self._reassembler, self._answer = Link(), gatt.Reassembler(), b""
        self._visit = Visit()

    def gatt_services(self) -> tuple[GattServiceSpec, ...]:
        return (SERVICE, NON_OWNER_SERVICE)

    async def read(self, char_uuid: str) -> bytes:
        if char_uuid == gatt.ANSWER_UUID:
            return self._answer
        self._link = read_nonce(self._cell.dice)
        assert self._link.nonce is not None
        return self._link.nonce

    async def write(self, char_uuid: str, data: bytes) -> None:
        """Takes one chunk; the last one of a message has the tag act. Raises GattError with the tag's refusal."""
        if char_uuid == NON_OWNER_UUID:
            self._hear(take_write(self._cell.state, self._visit, data, self._cell.now_s(), self._cell.dice))
            return
        try:
            message = self._reassembler.feed(data)
        except WireError:
            raise GattError(AttError.INVALID_VALUE) from None
        if message is None:
            return
        turn = take_message(self._cell.state, self._link, message, self._cell.now_s())
        self._link, self._answer = turn.link, turn.reply
        self._become(turn.state)
        if turn.refused is not None:
            raise GattError(turn.refused)

    def time_passed(self) -> None:
        """Whoever drives the tag calls this when something was due: a stranger waits for the end of a sound."""
        self._hear(time_passed(self._cell.state, self._visit, self._cell.now_s()))

    def subscribe(self, char_uuid: str, callback: Callable[[bytes], None]) -> None:
        """Only the non-owner service indicates."""
        self._indicate = callback

    def unsubscribe(self, char_uuid: str) -> None:
        self._indicate = None

    def on_connect(self) -> None:
        self._link, self._reassembler, self._answer = Link(), gatt.Reassembler(), b""
        self._visit = Visit()

    def on_disconnect(self) -> None:
        self.on_connect()

    def _hear(self, heard: Heard) -> None:
        self._visit = heard.visit
        self._become(heard.state)
        for message in heard.said:
            if self._indicate is not None:
                self._indicate(message)

    def _become(self, state: TagState) -> None:
        if state != self._cell.state:
            self._cell.state = state
            self._cell.changed(state)
