"""Tags as the factory makes them, with keys that a test can know."""

from __future__ import annotations

from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.story import STILL_THERE, Stretch
from firmware_sim.tag import Unit
from wire.keys import tag_key

K_FACTORY, K_LOT, K_CLAIM = (bytes([n]) * 16 for n in (1, 2, 3))
SERVER = Ed25519PrivateKey.from_private_bytes(bytes([4]) * 32)


def make_unit(serial: int = 700, **changed: object) -> Unit:
    private = Ed25519PrivateKey.from_private_bytes(Random(serial).randbytes(32))
    fields: dict[str, object] = {"server_key": SERVER.public_key(), **changed}
    return Unit(serial, K_LOT, tag_key(K_FACTORY, serial), K_CLAIM, private, **fields)  # type: ignore[arg-type]


def still(from_s: float, heard_by: tuple[str, ...], *, to_s: float = STILL_THERE, every_s: float = 600) -> Stretch:
    """A tag that lies three metres from its receivers."""
    return Stretch("there", from_s, to_s, heard_by, every_s, metres=3.0)


@pytest.fixture
def unit() -> Unit:
    return make_unit()
