"""One conversation with a tag over GATT: connect, read a nonce, write a message, read the answer.

The only file that knows bleak's client. The scan must be paused meanwhile: while we scan, a connection fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError, BleakGATTProtocolError

from wire.errors import WireError
from wire.gatt import (
    ANSWER_UUID,
    CHUNK_MIN,
    CLAIM_SERVICE_UUID,
    MESSAGE_UUID,
    NONCE_LEN,
    NONCE_UUID,
    AttError,
    decode_reply,
    split_chunks,
)

T = TypeVar("T")
# A tag sends every ten seconds or slower: the controller must hear one advert to connect.
CONNECT_TIMEOUT_S: Final = 25.0
TALK_TIMEOUT_S: Final = 10.0
# ATT takes longer values than this in one write only by a procedure that small tags do not have.
CHUNK_MAX: Final = 244
_CODES: Final = {
    int(AttError.UNAUTHENTICATED): "tag_refused",
    int(AttError.INVALID_VALUE): "tag_refused",
    int(AttError.NO_CONSENT): "button_not_pressed",
}


class TagError(Exception):
    """The conversation ended. `code` is one that a carrier reports (docs/wire-format.md, 14): `not_reachable`,
    `tag_refused`, `button_not_pressed`. `att` is the tag's own error number, 0 if it gave none.
    """

    def __init__(self, code: str, message: str, att: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.att = att


class TagClient:
    """One connection to one tag."""

    def __init__(self, device: BLEDevice) -> None:
        self._client = BleakClient(device, services=[CLAIM_SERVICE_UUID], timeout=CONNECT_TIMEOUT_S)

    async def connect(self) -> None:
        """Raises TagError `not_reachable`, `tag_refused` (it has no claim service)."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S + 5.0):
                await self._client.connect()
        except Exception as error:  # bleak passes on whatever its D-Bus library raises
            await self.close()
            raise TagError("not_reachable", f"{type(error).__name__}: {error}") from None
        if self._client.services.get_characteristic(MESSAGE_UUID) is None:
            await self.close()
            raise TagError("tag_refused", "the device has no claim service")

    async def close(self) -> None:
        """Hang up; the nonce dies with it. Never raises."""
        with suppress(Exception):
            async with asyncio.timeout(TALK_TIMEOUT_S):
                await self._client.disconnect()

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    async def nonce(self) -> bytes:
        """A nonce for one message. Raises TagError."""
        nonce = await self._read(NONCE_UUID)
        if len(nonce) != NONCE_LEN:
            raise TagError("tag_refused", f"a nonce has {NONCE_LEN} bytes, this one {len(nonce)}")
        return nonce

    async def say(self, message: bytes) -> bytes:
        """Write a whole message, and return the tag's whole reply (`op ‖ length ‖ data`). Raises TagError."""
        target = self._client.services.get_characteristic(MESSAGE_UUID)
        assert target is not None  # connect() looked
        chunk_len = min(max(CHUNK_MIN, target.max_write_without_response_size), CHUNK_MAX)
        for chunk in split_chunks(message, chunk_len):
            await self._talk(self._client.write_gatt_char(target, chunk, response=True))
        reply = await self._read(ANSWER_UUID)
        try:
            decode_reply(reply, message[0])
        except WireError as error:
            raise TagError("tag_refused", str(error)) from None
        return reply

    async def _read(self, uuid: str) -> bytes:
        return bytes(await self._talk(self._client.read_gatt_char(uuid)))

    async def _talk(self, doing: Coroutine[Any, Any, T]) -> T:
        """One read or write; whatever goes wrong becomes a TagError."""
        try:
            async with asyncio.timeout(TALK_TIMEOUT_S):
                return await doing
        except BleakGATTProtocolError as error:
            att = int(error.code)
            raise TagError(_CODES.get(att, "tag_refused"), f"the tag refused: 0x{att:02x}", att) from None
        except (BleakError, OSError, EOFError, AssertionError, TimeoutError) as error:
            raise TagError("not_reachable", f"{type(error).__name__}: {error}") from None
