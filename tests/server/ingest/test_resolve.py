"""The resolver against the one-frame functions of wire: same bytes, same answers, for any frames and any lots."""

from __future__ import annotations

import secrets

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.ingest import resolve
from server.ingest.resolve import LotKey, Resolver, Verdict
from wire.errors import WireError
from wire.frames import FRAME_LEN, decode_p, encode_n, encode_o, encode_p
from wire.keys import tag_key

K_FACTORY = bytes(range(16))
LOTS = [LotKey(no, bytes([no]) * 16) for no in range(1, 41)]


def p_frame(lot: LotKey, serial: int, uptime_s: int = 5, boot: int = 1, status: int = 0, **more) -> bytes:
    k_tag = more.pop("k_tag", tag_key(K_FACTORY, serial))
    return encode_p(
        lot.key,
        k_tag,
        serial=serial,
        uptime_s=uptime_s,
        boot=boot,
        random2=secrets.token_bytes(2),
        status=status,
        **more,
    )


def as_array(frames: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(frames), np.uint8).reshape(-1, FRAME_LEN)


def one_by_one(frame: bytes, lots: list[LotKey]) -> tuple[int, ...] | None:
    for lot in lots:
        try:
            opened = decode_p(frame, lot.key, K_FACTORY)
        except WireError:
            continue
        return opened.serial, opened.uptime_s, opened.boot, opened.status
    return None


SERIAL = st.sampled_from([0, 1, 255, 256, 2**32, 2**40 - 1])
GOOD = st.builds(
    p_frame,
    st.sampled_from(LOTS),
    SERIAL,
    st.sampled_from([0, 1, 2**31, 2**32 - 1]),
    st.sampled_from([0, 1, 2**16 - 1]),
    st.integers(0, 255),
)


@given(st.lists(GOOD | st.binary(min_size=FRAME_LEN, max_size=FRAME_LEN), max_size=40), st.integers(0, len(LOTS)))
def test_agrees_with_wire_for_every_frame(frames: list[bytes], known: int) -> None:
    found = Resolver(K_FACTORY, LOTS[:known], 0xF0).resolve(as_array(frames))
    for n, frame in enumerate(frames):
        said = (int(found.serial[n]), int(found.uptime_s[n]), int(found.boot[n]), int(found.status[n]))
        expected = one_by_one(frame, LOTS[:known])
        assert (said if found.verdict[n] == Verdict.RESOLVED else None) == expected


def test_each_kind_of_frame_has_its_verdict() -> None:
    forged = p_frame(LOTS[0], 7, k_tag=bytes(16))
    frames = [
        p_frame(LOTS[0], 7),
        p_frame(LotKey(99, b"z" * 16), 7),
        forged,
        encode_o(bytes(16), bytes(16), tick=1, status=0),
        encode_n(bytes(16), tick=1, random12=bytes(12), status=0),
        p_frame(LOTS[0], 7, network_id=0x01),
        b"\xf0\x00\x77" + bytes(21),
    ]
    found = Resolver(K_FACTORY, LOTS, 0xF0).resolve(as_array(frames))
    assert [Verdict(verdict) for verdict in found.verdict] == [
        Verdict.RESOLVED,
        Verdict.NO_LOT,
        Verdict.FRAME_MAC,
        Verdict.OWNED,
        Verdict.NEAR_OWNER,
        Verdict.FOREIGN,
        Verdict.UNKNOWN_TYPE,
    ]


def test_a_strangers_magic_by_chance_neither_ends_the_search_nor_undoes_a_find() -> None:
    """A frame that opens with magic under a wrong lot, tried before and after the right one."""
    twin = LotKey(50, LOTS[0].key)  # every frame of lot 1 has magic under it too
    frame = p_frame(LOTS[0], 7)
    wrong_mac = p_frame(LOTS[0], 7, k_tag=bytes(16))
    for lots in ([twin, LOTS[0]], [LOTS[0], twin]):
        found = Resolver(K_FACTORY, lots, 0xF0).resolve(as_array([frame, wrong_mac] * 3))
        assert found.verdict.tolist() == [Verdict.RESOLVED, Verdict.FRAME_MAC] * 3


def test_many_frames_over_many_lots_in_one_set() -> None:
    frames = [p_frame(LOTS[n % len(LOTS)], n % 300, uptime_s=n) for n in range(3000)]
    resolver = Resolver(K_FACTORY, LOTS, 0xF0)
    for _ in range(2):  # the second time with what the first one learnt about the lots
        found = resolver.resolve(as_array(frames))
        assert (found.verdict == Verdict.RESOLVED).all()
        assert found.uptime_s.tolist() == list(range(3000))
        assert found.serial.tolist() == [n % 300 for n in range(3000)]


def test_lots_that_were_heard_lately_are_tried_first() -> None:
    resolver = Resolver(K_FACTORY, LOTS, 0xF0)
    resolver.resolve(as_array([p_frame(LOTS[-1], 7)] * 10))
    assert int(np.argmax(resolver._scores)) == len(LOTS) - 1


def test_the_cache_of_tags_has_a_limit(monkeypatch) -> None:
    monkeypatch.setattr(resolve, "MAX_TAGS_CACHED", 10)
    resolver = Resolver(K_FACTORY, LOTS, 0xF0)
    for start in range(0, 60, 5):
        frames = as_array([p_frame(LOTS[0], serial) for serial in range(start, start + 5)])
        assert (resolver.resolve(frames).verdict == Verdict.RESOLVED).all()
        assert len(resolver._pads) <= 15


def test_no_frames_and_no_lots() -> None:
    assert len(Resolver(K_FACTORY, LOTS, 0xF0).resolve(as_array([])).verdict) == 0
    assert Resolver(K_FACTORY, [], 0xF0).resolve(as_array([p_frame(LOTS[0], 1)])).verdict.tolist() == [Verdict.NO_LOT]
