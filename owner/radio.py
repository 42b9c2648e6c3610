"""How the owner's client reaches a tag: through what can carry a thousand bytes, here a gateway behind the server.

A radio knows nothing of keys. It offers the frames that are heard, connects to the tag behind one of them, and carries
messages whose MAC neither the gateway nor the server can make.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final, Protocol

from owner.api import Api, RefusedError, foreign
from wire.command import MAX_CANDIDATES
from wire.frames import FRAME_LEN
from wire.gatt import MAX_MESSAGE, NONCE_LEN

# The server gives a gateway 35 s for a connection; its own answer comes after that.
PATIENCE_S: Final = 50.0


class Radio(Protocol):
    """One conversation with tags near one receiver. Every method raises RefusedError."""

    def start(self) -> list[bytes]:
        """Begins anew: the frames heard now (24 bytes each), strongest first."""
        ...  # pragma: no cover - a protocol

    def connect(self, frame: bytes) -> bytes:
        """A fresh nonce of the tag that sent this frame; on an open connection the next one."""
        ...  # pragma: no cover - a protocol

    def write(self, message: bytes) -> bytes:
        """What the tag answers to one message."""
        ...  # pragma: no cover - a protocol

    def close(self) -> None:
        """Lets go of the tag. Never raises; twice is once."""
        ...  # pragma: no cover - a protocol


class RelayRadio:
    """A gateway of the server's as a radio. `about` is the claim or the tag: `{"claim_id": …}` or `{"serial": …}`."""

    def __init__(self, api: Api, about: Mapping[str, Any], gateway: str | None) -> None:
        self._api, self._asked = api, dict[str, Any]({**about, "gateway": gateway})
        self._relay = ""

    def start(self) -> list[bytes]:
        self.close()
        begun = self._api.post("/relays", self._asked, PATIENCE_S)
        try:
            relay, frames = str(begun["relay_id"]), [bytes.fromhex(frame) for frame in begun["frames"]]
        except (KeyError, TypeError, ValueError):
            raise foreign() from None
        if not relay.replace("-", "").replace("_", "").isalnum() or len(frames) > MAX_CANDIDATES:
            raise foreign()
        # The server may have chosen the gateway; once the tag is privately ours it does not know that any more.
        self._asked["gateway"] = self._asked["gateway"] or begun.get("gateway")
        self._relay = relay
        return [frame for frame in frames if len(frame) == FRAME_LEN]

    def connect(self, frame: bytes) -> bytes:
        nonce = self._ask("connect", "frame", frame, "nonce")
        if len(nonce) != NONCE_LEN:
            raise foreign()
        return nonce

    def write(self, message: bytes) -> bytes:
        answer = self._ask("write", "message", message, "answer")
        if len(answer) > MAX_MESSAGE:
            raise foreign()
        return answer

    def close(self) -> None:
        relay, self._relay = self._relay, ""
        if relay:
            with contextlib.suppress(RefusedError):  # it ends by itself after some minutes
                self._api.delete(f"/relays/{relay}")

    def _ask(self, step: str, name: str, value: bytes, wanted: str) -> bytes:
        answer = self._api.post(f"/relays/{self._relay}/{step}", {name: value.hex()}, PATIENCE_S)
        try:
            return bytes.fromhex(answer[wanted])
        except (KeyError, TypeError, ValueError):
            raise foreign() from None
