"""Which frame is ours: identifiers around today, hashes around now, old days only where the clock was lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from owner import recognise
from tests.owner.tag import DAY, NOON_S, PrivateTag, secret
from wire import keys
from wire.frames import Status, encode_n, encode_o

TAG = PrivateTag()
LOST = Status(clock_lost=True).to_byte()
STRANGER = PrivateTag(secret("stranger"))


def o_frame(tag: PrivateTag, day: int, status: int = 0, *, listed: bool = True, network_id: int = 0xF0) -> bytes:
    k_own = keys.own_key(tag.seed)
    eid = keys.eid(keys.day_public_key(tag.seed, day)) if listed else keys.unlisted_eid(k_own, day)
    return encode_o(k_own, eid, tick=day * 96, status=status, network_id=network_id)


def n_frame(tag: PrivateTag, tick: int) -> bytes:
    return encode_n(keys.own_key(tag.seed), tick=tick, random12=bytes(12), status=0)


def ours(*frames: bytes, now_s: int = NOON_S) -> int | None:
    return recognise.position(TAG.secret, frames, now_s)


def test_identifiers_of_these_days_in_the_list_and_outside() -> None:
    for day in (DAY - 1, DAY, DAY + 1):
        for listed in (True, False):
            assert ours(o_frame(TAG, day, listed=listed)) == 0
            assert ours(o_frame(STRANGER, day, listed=listed)) is None
    for day in (DAY - 2, DAY + 2):
        assert ours(o_frame(TAG, day)) is None


def test_after_a_lost_clock_any_day_of_the_year() -> None:
    for day in (DAY - 2, DAY - 366):
        for listed in (True, False):
            assert ours(o_frame(TAG, day, LOST, listed=listed)) == 0
    assert ours(o_frame(TAG, DAY - 367, LOST)) is None
    assert ours(o_frame(TAG, DAY + 2, LOST)) is None, "a clock that stood is never ahead"


def test_near_hashes_around_now() -> None:
    tick = NOON_S // 900
    assert [ours(n_frame(TAG, tick + off)) for off in (-9, -8, 0, 8, 9)] == [None, 0, 0, 0, None]
    assert ours(n_frame(STRANGER, tick)) is None


def test_the_strongest_of_ours_among_others_and_garbage() -> None:
    frames = [b"", b"\xf0" * 24, bytes(23), o_frame(STRANGER, DAY), o_frame(TAG, DAY), n_frame(TAG, NOON_S // 900)]
    assert ours(*frames) == 4
    assert ours(o_frame(TAG, DAY, network_id=0xE7)) == 0, "of whatever network the gateway listens to"
    assert ours(o_frame(TAG, 0), now_s=0) == 0


@given(st.lists(st.binary(min_size=24, max_size=24), max_size=5))
def test_nothing_from_outside_is_ours_by_chance(frames: list[bytes]) -> None:
    assert ours(*frames) is None
