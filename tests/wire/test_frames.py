"""Frames: what goes in comes out, at every boundary, and nothing else opens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import frames
from wire.errors import WireError
from wire.frames import FrameType, PFrame, Status
from wire.keys import tag_key

K_LOT, K_FACTORY = bytes(range(16)), bytes(range(16, 32))


def bounded(bits: int) -> st.SearchStrategy[int]:
    top = (1 << bits) - 1
    return st.one_of(st.sampled_from([0, 1, top - 1, top]), st.integers(0, top))


def p_frame(frame: PFrame, k_factory: bytes = K_FACTORY) -> bytes:
    return frames.encode_p(
        K_LOT,
        tag_key(k_factory, frame.serial),
        serial=frame.serial,
        uptime_s=frame.uptime_s,
        boot=frame.boot,
        random2=frame.random,
        status=frame.status,
    )


P_FRAMES = st.builds(PFrame, bounded(40), bounded(32), bounded(16), st.binary(min_size=2, max_size=2), bounded(8))


@given(P_FRAMES)
def test_p_frame_round_trip(frame: PFrame) -> None:
    raw = p_frame(frame)
    assert len(raw) == frames.FRAME_LEN
    assert frames.frame_kind(raw) is FrameType.PROVENANCE
    assert frames.decode_p(raw, K_LOT, K_FACTORY) == frame
    assert frames.frame_of_advertisement(frames.advertisement(raw)) == raw


@given(P_FRAMES, st.integers(3, 23), st.integers(1, 255))
def test_a_changed_p_frame_does_not_open(frame: PFrame, at: int, change: int) -> None:
    raw = bytearray(p_frame(frame))
    raw[at] ^= change
    with pytest.raises(WireError) as refused:
        frames.decode_p(bytes(raw), K_LOT, K_FACTORY)
    assert refused.value.code == ("not_this_lot" if 4 <= at < 20 else "frame_mac")


@given(P_FRAMES)
def test_another_lot_or_factory_does_not_open(frame: PFrame) -> None:
    raw = p_frame(frame)
    with pytest.raises(WireError, match="not made under"):
        frames.decode_p(raw, K_FACTORY, K_FACTORY)
    with pytest.raises(WireError, match="did not make"):
        frames.decode_p(raw, K_LOT, K_LOT)


@pytest.mark.parametrize(
    "frame",
    [
        PFrame(2**40, 0, 0, b"ab", 0),
        PFrame(-1, 0, 0, b"ab", 0),
        PFrame(0, 2**32, 0, b"ab", 0),
        PFrame(0, 0, 2**16, b"ab", 0),
        PFrame(0, 0, 0, b"a", 0),
        PFrame(0, 0, 0, b"abc", 0),
    ],
)
def test_what_does_not_fit_is_refused(frame: PFrame) -> None:
    with pytest.raises(WireError) as refused:
        frames.p_plain(frame.serial, frame.uptime_s, frame.boot, frame.random)
    assert refused.value.code == "out_of_range"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "frame_length"),
        (bytes(23), "frame_length"),
        (bytes(25), "frame_length"),
        (bytes(24), "foreign_network"),
        (b"\xf0" + bytes(23), "frame_type"),
        (b"\xf0\x00\x21" + bytes(21), "frame_type"),
    ],
)
def test_garbage_has_a_code(raw: bytes, code: str) -> None:
    with pytest.raises(WireError) as refused:
        frames.decode_p(raw, K_LOT, K_FACTORY)
    assert refused.value.code == code


@given(st.integers(0, 3), st.booleans(), st.booleans(), st.booleans())
def test_status_round_trip(battery: int, moved: bool, transit: bool, clock_lost: bool) -> None:
    status = Status(battery, moved, transit, clock_lost)
    assert Status.from_byte(status.to_byte()) == status
    assert Status.from_byte(status.to_byte() | 0x07) == status
    assert status.to_byte() & 0x07 == 0


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16), bounded(32), bounded(8))
def test_o_frame_is_known_to_its_owner_only(k_own: bytes, eid: bytes, tick: int, status: int) -> None:
    opened = frames.decode_o(frames.encode_o(k_own, eid, tick=tick, status=status))
    assert (opened.eid, opened.status) == (eid, status)
    assert frames.verify_o(opened, k_own, tick)
    assert not frames.verify_o(opened, k_own, (tick + 1) % 2**32)
    assert not frames.verify_o(opened, bytes(15) + bytes((k_own[15] ^ 1,)), tick)
