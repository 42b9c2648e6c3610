"""The owner's keys: phrases, the claim's bundle and the years after it, shares, co-owners, key files."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from owner import keyfile, keys, phrase
from owner.errors import PrivateError
from owner.keys import TagSecret
from tests.owner.tag import DAY, NOON_S, PrivateTag, secret
from wire import keys as wire_keys
from wire.errors import WireError
from wire.household import Handover, open_handover, seal_handover
from wire.share import MAX_DAYS, Share, SharedDay, decode_share, encode_share

TAG = PrivateTag()
SEEDS = st.binary(min_size=32, max_size=32)


def code(call, *arguments) -> str:
    with pytest.raises(PrivateError) as wrong:
        call(*arguments)
    assert str(wrong.value)
    return wrong.value.code


# --- Phrases ----------------------------------------------------------------------------------------------


@given(SEEDS)
def test_a_phrase_is_its_secret(seed: bytes) -> None:
    words = phrase.phrase_of(seed).split()
    assert len(words) == 24
    assert phrase.seed_of(" ".join(words)) == seed
    numbered = "\n".join(f"{n}. {word.upper()}," for n, word in enumerate(words, 1))
    assert phrase.seed_of(numbered) == seed, "as `phrase new` shows it"
    assert phrase.seed_of(" ".join(word[:4] for word in words)) == seed


def test_the_vectors_of_the_standard() -> None:
    """Two of BIP-39's own: another program's phrase is ours."""
    assert phrase.phrase_of(bytes(32)) == "abandon " * 23 + "art"
    assert phrase.phrase_of(b"\xff" * 32) == "zoo " * 23 + "vote"


def test_what_is_wrong_with_a_phrase_is_said() -> None:
    words = phrase.phrase_of(TAG.seed).split()
    assert code(phrase.seed_of, " ".join(words[:-1])) == "phrase_words"
    assert code(phrase.seed_of, "") == "phrase_words"
    assert code(phrase.seed_of, "word " * 1_000) == "phrase_words"
    with pytest.raises(PrivateError, match="Word 7 is not on the list") as wrong:
        phrase.seed_of(" ".join([*words[:6], "abandom", *words[7:]]))
    assert "abandon" in wrong.value.do


def test_words_exchanged_are_noticed() -> None:
    """Of all exchanges of two neighbours in some phrases nearly every one is: the checksum has eight bits."""
    missed = tried = 0
    told: set[tuple[str, str]] = set()
    for number in range(12):
        words = phrase.phrase_of(secret(f"seed {number}")).split()
        for at in range(23):
            if words[at] == words[at + 1]:
                continue
            changed = [*words]
            changed[at], changed[at + 1] = words[at + 1], words[at]
            tried += 1
            try:
                phrase.seed_of(" ".join(changed))
                missed += 1
            except PrivateError as wrong:
                told.add((wrong.code, str(wrong)))
    assert tried > 250
    assert missed <= 6
    assert {each for each, _ in told} == {"phrase_checksum"}
    assert len(told) == 1, "what is told names no word of the phrase"


def test_fingerprints_are_six_words_of_the_key() -> None:
    one, other = (phrase.fingerprint(secret(name)) for name in ("one", "other"))
    assert one != other
    assert len(one.split()) == 6
    assert set(one.split()) <= set(phrase.words_beginning(""))
    assert phrase.words_beginning("ZO") == ["zone", "zoo"]


# --- The claim and the years after it ---------------------------------------------------------------------


def test_the_bundle_of_a_claim() -> None:
    bundle = keys.claim_bundle(TAG.secret, DAY)
    assert [each.day for each in bundle] == list(range(DAY, DAY + 366))
    last = bundle[-1]
    assert last.public_key == wire_keys.day_public_key(TAG.seed, DAY + 365)
    assert last.fetch_hash == hashlib.sha256(wire_keys.fetch_token(TAG.seed, DAY + 365)).digest()
    assert keys.eids(bundle)[-1] == wire_keys.eid(last.public_key)
    assert len(set(keys.eids(bundle))) == 366


def test_the_bundle_holds_nothing_that_opens() -> None:
    shown = repr(keys.claim_bundle(TAG.secret, DAY, 3))
    for day in range(DAY, DAY + 3):
        held = TAG.secret.day(day)
        for each in (held.d, held.f, TAG.seed, TAG.secret.own_key):
            assert repr(each)[2:-1] not in shown
            assert each.hex() not in shown


@pytest.mark.parametrize(
    ("today", "first", "late"),
    [
        (DAY, None, False),
        (DAY + 335, None, False),
        (DAY + 336, DAY + 366, False),
        (DAY + 365, DAY + 366, False),
        (DAY + 366, DAY + 366, True),
        (DAY + 500, DAY + 500, True),
    ],
)
def test_renewal_begins_a_month_before_the_end(today: int, first: int | None, late: bool) -> None:
    due = keys.renewal(DAY, 366, today)
    assert due == (keys.Renewal(first, 366, late) if first is not None else None)


# --- Secrets are not shown --------------------------------------------------------------------------------


def test_no_repr_shows_a_secret() -> None:
    share = Share(NOON_S, (TAG.secret.day(DAY),))
    held = [TAG.secret, TAG.ring(), share, share.days[0], Handover(1, 2, TAG.seed), [TAG.secret]]
    for each in held:
        for text in (repr(each), str(each), f"{each}"):
            assert "secret" in text
            for value in (TAG.seed, TAG.secret.own_key, share.days[0].d, share.days[0].f):
                assert value.hex() not in text
                assert repr(value)[2:-1] not in text


# --- Shares -----------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(0, 2**32 - MAX_DAYS), st.integers(1, MAX_DAYS), st.integers(0, 2**32 - 1))
def test_a_share_is_read_as_it_was_made(seed: bytes, first: int, days: int, ends_s: int) -> None:
    held = TagSecret(1, seed)
    made = Share(ends_s, tuple(held.day(first + n) for n in range(days)))
    assert decode_share(encode_share(made)) == made
    assert keys.read_share(f"https://tags.example/share#{encode_share(made)}\n") == made


@given(st.text(max_size=3_000) | st.text("AQab09-_", min_size=76, max_size=76))
def test_text_from_outside_is_a_share_or_refused(text: str) -> None:
    with pytest.raises(WireError, match="whole share"):
        decode_share(text)


def test_one_changed_character_is_noticed() -> None:
    text = keys.share_days(TAG.secret, DAY, 2, NOON_S)
    for at in range(len(text)):
        wrong = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        assert code(keys.read_share, wrong) == "share_malformed"
        assert code(keys.read_share, text[:at]) == "share_malformed"
    assert code(keys.read_share, text + "A") == "share_malformed"


def test_limits_of_a_share() -> None:
    held = TAG.secret
    assert len(keys.share_days(held, DAY, 31, NOON_S)) == 2_002
    assert code(keys.share_days, held, DAY, 32, NOON_S) == "share_days"
    assert code(keys.share_days, held, DAY, 0, NOON_S) == "share_days"
    assert code(keys.share_days, held, DAY, 1, DAY * 86_400) == "share_end"
    assert code(keys.share_days, held, DAY, 1, 2**32) == "share_days"
    apart = Share(NOON_S, (held.day(DAY), held.day(DAY + 2)))
    short = Share(NOON_S, (SharedDay(DAY, b"short", bytes(16)),))
    for wrong in (apart, short, Share(-1, (held.day(DAY),))):
        with pytest.raises(WireError, match=r"share|day"):
            encode_share(wrong)


def test_a_share_ends() -> None:
    share = keys.read_share(keys.share_days(TAG.secret, DAY, 1, NOON_S))
    assert set(keys.share_ring(share, NOON_S - 1).by_day) == {DAY}
    assert code(keys.share_ring, share, NOON_S) == "share_ended"


def test_a_share_opens_its_days_only() -> None:
    share = keys.read_share(keys.share_days(TAG.secret, DAY, 3, NOON_S))
    ring = keys.share_ring(share, NOON_S - 1)
    assert ring.own_key is None
    assert set(ring.days) == {wire_keys.eid(wire_keys.day_public_key(TAG.seed, DAY + n)) for n in range(3)}


# --- Co-owners --------------------------------------------------------------------------------------------

MEMBER = secret("member")
MEMBER_PUBLIC = wire_keys.public_of_day_key(MEMBER)


@given(SEEDS, st.integers(0, 2**40 - 1), st.integers(0, 2**32 - 1))
def test_a_member_gets_all_that_the_owner_has(seed: bytes, serial: int, zero_s: int) -> None:
    held = TagSecret(serial, seed, zero_s)
    sealed = keys.hand_over(held, MEMBER_PUBLIC)
    assert len(sealed) == 90
    assert seed not in sealed
    assert keys.take_over(sealed, MEMBER, serial) == held


def test_nobody_else_opens_it_and_no_byte_may_differ() -> None:
    sealed = keys.hand_over(TAG.secret, MEMBER_PUBLIC)
    assert code(keys.take_over, sealed, secret("stranger"), TAG.secret.serial) == "handover_sealed"
    assert code(keys.take_over, sealed, MEMBER, 7) == "handover_serial"
    assert code(keys.take_over, sealed[:-1], MEMBER, TAG.secret.serial) == "handover_shape"
    for at in range(len(sealed)):
        wrong = sealed[:at] + bytes((sealed[at] ^ 0x41,)) + sealed[at + 1 :]
        assert code(keys.take_over, wrong, MEMBER, TAG.secret.serial) in {"handover_sealed", "handover_shape"}


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(32), b"\x01" + bytes(31)])
def test_nothing_is_sealed_to_a_key_that_is_none(wrong: bytes) -> None:
    """Among them points of small order, whose shared secret anybody knows."""
    assert code(keys.hand_over, TAG.secret, wrong) == "member_key"


def test_a_report_key_opens_no_secret() -> None:
    """The two uses of HPKE cannot be taken for one another: each has its own info."""
    with pytest.raises(WireError, match="does not open"):
        open_handover(seal_handover(Handover(1, 2, TAG.seed), MEMBER_PUBLIC), TAG.secret.day(DAY).d)
    for wrong in (Handover(2**40, 0, TAG.seed), Handover(1, 2**32, TAG.seed), Handover(1, 2, b"short")):
        with pytest.raises(WireError, match=r"fit|32 bytes"):
            seal_handover(wrong, MEMBER_PUBLIC)


# --- On disk ----------------------------------------------------------------------------------------------


def test_a_key_file_is_its_users_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = keyfile.save(tmp_path / "tags", TAG.secret)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert keyfile.load(path) == TAG.secret
    assert keyfile.save(tmp_path / "tags", TAG.secret) == path, "twice is once"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_secret_is_never_overwritten(tmp_path: Path) -> None:
    path = keyfile.save(tmp_path, TAG.secret)
    assert code(keyfile.save, tmp_path, TagSecret(TAG.secret.serial, secret("other"))) == "keys_exist"
    assert keyfile.load(path) == TAG.secret
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_others_may_read_is_refused(tmp_path: Path) -> None:
    path = keyfile.save(tmp_path, TAG.secret)
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        assert code(keyfile.load, path) == "keys_exposed"


@pytest.mark.parametrize(
    "body",
    ["", "{}", "null", "\xff", '{"version":1,"serial":1,"seed":"00","tick_zero_s":0}', "x" * 5_000],
)
def test_what_is_no_key_file(tmp_path: Path, body: str) -> None:
    path = tmp_path / "1.json"
    path.write_text(body, encoding="latin-1")
    path.chmod(0o600)
    assert code(keyfile.load, path) == "keys_malformed"


def test_missing_unreadable_unwritable(tmp_path: Path) -> None:
    assert code(keyfile.load, tmp_path / "none.json") == "keys_missing"
    assert code(keyfile.load, tmp_path) == "keys_unreadable"
    (tmp_path / "file").write_text("")
    assert code(keyfile.save, tmp_path / "file", TAG.secret) == "keys_unwritable"


def test_where_key_files_live() -> None:
    assert keyfile.keys_folder(None, Path("/u")) == Path("/u/.config/hearsight/tags")
    assert keyfile.keys_folder("/c", Path("/u")) == Path("/c/hearsight/tags")


def test_a_look_back_of_a_week_is_eight_keys() -> None:
    began = time.perf_counter()
    assert len(TAG.ring(*range(DAY - 7, DAY + 1)).days) == 8
    assert time.perf_counter() - began < 1
