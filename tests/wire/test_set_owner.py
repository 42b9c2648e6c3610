"""Setting an owner and proving to be one: what goes in comes out, and nothing else opens."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from wire import frames, gatt, set_owner
from wire.errors import WireError
from wire.keys import eid, unlisted_eid
from wire.set_owner import Begin, Finish, Part

KEY = bytes(range(16))
OWNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NONCE = bytes(8)


def bytes_of(length: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=length, max_size=length)


@given(st.integers(1, set_owner.MAX_DAYS), st.integers(0, set_owner.MAX_DAYS))
def test_the_parts_of_a_list_are_the_list(days: int, held: int) -> None:
    eids = b"".join(eid(day.to_bytes(2, "big")) for day in range(days))
    got = eids[: held * set_owner.EID_LEN]
    for plain in set_owner.split_list(eids, held):
        step = set_owner.decode_step(plain)
        assert isinstance(step, Part)
        assert step.first * set_owner.EID_LEN == len(got), "each begins where the last one ended"
        assert len(gatt.encode_message(gatt.Op.SET_OWNER, bytes(28) + plain, bytes(8))) <= gatt.MAX_MESSAGE
        got += step.eids
    assert got == eids


@given(bytes_of(16).filter(any), st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 2**40 - 1), bytes_of(8))
def test_begin_round_trip(k_own: bytes, first_day: int, days: int, serial: int, nonce: bytes) -> None:
    eids = bytes(16 * days)
    plain = set_owner.encode_begin(OWNER, serial=serial, nonce=nonce, k_own=k_own, first_day=first_day, eids=eids)
    step = set_owner.decode_step(plain)
    assert isinstance(step, Begin)
    assert step[:4] == (k_own, first_day, days, set_owner.list_hash(eids))
    set_owner.verify_begin(step, serial, nonce)
    for other in ((serial ^ 1, nonce), (serial, bytes((nonce[0] ^ 1,)) + nonce[1:])):
        with pytest.raises(WireError, match="did not sign"):
            set_owner.verify_begin(step, *other)


def _open_begin(plain: bytes) -> None:
    step = set_owner.decode_step(plain)
    assert isinstance(step, Begin)
    set_owner.verify_begin(step, 1, NONCE)


@given(st.integers(0, 150), st.integers(1, 255))
def test_every_byte_of_a_begin_is_signed(at: int, change: int) -> None:
    plain = bytearray(set_owner.encode_begin(OWNER, serial=1, nonce=NONCE, k_own=KEY, first_day=20_758, eids=bytes(16)))
    plain[at] ^= change
    with pytest.raises(WireError) as refused:
        _open_begin(bytes(plain))
    assert refused.value.code in ("set_owner_shape", "signature", "public_key")


@given(st.binary(max_size=300), bytes_of(16), bytes_of(8), bytes_of(12))
def test_sealed_round_trip(plain: bytes, k_claim: bytes, nonce: bytes, iv: bytes) -> None:
    data = set_owner.seal_step(k_claim, nonce, iv, plain)
    assert set_owner.open_step(k_claim, nonce, data) == plain
    for wrong in ((k_claim[::-1] + b"x")[1:], KEY):
        if wrong != k_claim:
            with pytest.raises(WireError, match="not encrypted"):
                set_owner.open_step(wrong, nonce, data)


@given(st.integers(0, 40), st.integers(1, 255))
def test_a_changed_sealed_step_does_not_open(at: int, change: int) -> None:
    data = bytearray(set_owner.seal_step(KEY, NONCE, bytes(12), set_owner.encode_finish(7)))
    data[at % len(data)] ^= change
    with pytest.raises(WireError) as refused:
        set_owner.open_step(KEY, NONCE, bytes(data))
    assert refused.value.code == "set_owner_sealed"


@given(st.integers(0, 2**32 - 1))
def test_finish_and_near_carry_the_time(unix_s: int) -> None:
    assert set_owner.decode_step(set_owner.encode_finish(unix_s)) == Finish(unix_s)
    assert gatt.unix_of_near_data(gatt.near_data(KEY, NONCE, unix_s)) == unix_s
    assert frames.tick_of(unix_s) // 96 == frames.day_of_tick(frames.tick_of(unix_s)) == unix_s // 86_400


@given(st.integers(0, set_owner.MAX_DAYS))
def test_held_round_trip(held: int) -> None:
    assert set_owner.decode_held(set_owner.encode_held(held)) == held


@given(bytes_of(16), st.integers(0, 2**32 - 1), bytes_of(12), st.integers(0, 255))
def test_an_n_frame_is_known_to_its_owner_only(k_own: bytes, tick: int, random12: bytes, status: int) -> None:
    frame = frames.encode_n(k_own, tick=tick, random12=random12, status=status)
    assert frames.verify_n(frame, k_own, tick)
    assert not frames.verify_n(frame, k_own, tick ^ 1)
    assert not frames.verify_n(frame, bytes((k_own[0] ^ 1,)) + k_own[1:], tick)


def test_proofs_are_of_one_kind_each() -> None:
    """No proof of one op serves as another's, and no identifier of a day without an EID as a near hash."""
    near, ring = gatt.near_data(KEY, NONCE, 10)[4:], gatt.ring_data(KEY, NONCE, 10)[1:]
    others = {near, ring, gatt.owner_clear_proof(KEY, NONCE), unlisted_eid(KEY, 10), frames.near_hash(KEY, 10)}
    assert len(others) == 5
    assert gatt.ring_data(b"", NONCE, 10) == b"\x0a"
