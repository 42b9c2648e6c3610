"""Two libraries, one answer: what libsodium says of a signature, OpenSSL says, too; or libsodium is stricter."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from server.ingest.signature import BatchSigner
from wire.errors import WireError
from wire.signing import Domain, public_key, sign, verify

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RAW = KEY.public_key().public_bytes_raw()
# The order of the group: a signature's second half is below it.
ORDER = 2**252 + 27742317777372353535851937790883648493
# Points of small order (all of them, and the two that are also written in a second way): RFC 8032 leaves it to the
# verifier whether such a key is refused; whoever has one could sign anything.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def accepted(check, payload: bytes) -> bytes | str:
    """The body, or the code of the refusal."""
    try:
        body: bytes = check(payload)
    except WireError as error:
        return error.code
    return body


def by_both(raw: bytes, payload: bytes) -> tuple[bytes | str, bytes | str]:
    key = public_key(raw)
    return accepted(BatchSigner(raw).body, payload), accepted(lambda p: verify(key, Domain.BATCH, p), payload)


@given(seed=st.binary(min_size=32, max_size=32), body=st.binary(max_size=3000))
def test_honest_signatures_are_accepted_by_both(seed: bytes, body: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    assert by_both(key.public_key().public_bytes_raw(), sign(key, Domain.BATCH, body)) == (body, body)


@given(body=st.binary(max_size=300), at=st.integers(0), bit=st.integers(0, 7))
@example(body=b"", at=0, bit=0)
@example(body=b"x", at=63, bit=7)
def test_one_flipped_bit_is_refused_by_both(body: bytes, at: int, bit: int) -> None:
    payload = bytearray(sign(KEY, Domain.BATCH, body))
    payload[at % len(payload)] ^= 1 << bit
    assert by_both(RAW, bytes(payload)) == ("signature", "signature")


@given(payload=st.binary(max_size=200), raw=st.binary(min_size=32, max_size=32))
def test_noise_is_never_accepted_by_one_that_the_other_refuses(payload: bytes, raw: bytes) -> None:
    ours, theirs = by_both(raw, payload)
    assert ours in ("truncated", "signature")
    assert ours == theirs


@pytest.mark.parametrize("domain", [domain for domain in Domain if domain is not Domain.BATCH])
def test_signed_as_something_else_is_no_batch(domain: Domain) -> None:
    assert by_both(RAW, sign(KEY, domain, b"body")) == ("signature", "signature")
    without = KEY.sign(b"body") + b"body"
    assert by_both(RAW, without) == ("signature", "signature")


def test_another_keys_signature_is_refused() -> None:
    assert by_both(RAW, sign(Ed25519PrivateKey.generate(), Domain.BATCH, b"body")) == ("signature", "signature")


@pytest.mark.parametrize("times", [1, 7])
def test_the_same_signature_in_other_numbers_is_refused(times: int) -> None:
    """S + n·L satisfies the equation as well: accepted, everybody could make a second signature out of the first."""
    payload = sign(KEY, Domain.BATCH, b"body")
    other = int.from_bytes(payload[32:64], "little") + times * ORDER
    assert by_both(RAW, payload[:32] + other.to_bytes(32, "little") + payload[64:]) == ("signature", "signature")


def test_a_point_with_a_part_of_small_order_in_the_signature_is_refused() -> None:
    """Made with the secret of KEY, R = r·B + a point of order eight. A verifier that multiplies the equation by eight
    takes it, and there are such libraries: ours must not become one, or the two would no longer say the same.
    """
    mixed = "1dd960b291c53514fece1341fc0dcd8a648b3934c2c533666f737a654ff1e1bf"
    s = "9b4521ea20264570f91a248b1f81577ad20c1bb775ea4682e5af2075931a7308"
    assert by_both(RAW, bytes.fromhex(mixed + s) + b"body") == ("signature", "signature")


@pytest.mark.parametrize("raw", SMALL_ORDER)
def test_a_key_of_small_order_signs_nothing(raw: str) -> None:
    """With the neutral point as key, R = S = 0·B "signs" every body: OpenSSL takes that, we do not."""
    key = bytes.fromhex(raw)
    for point in SMALL_ORDER:
        payload = bytes.fromhex(point) + bytes(32) + b"body"
        assert accepted(BatchSigner(key).body, payload) == "signature"


def test_openssl_would_have_taken_it() -> None:
    """The reason why the one above is worth a test."""
    neutral = bytes.fromhex(SMALL_ORDER[0])
    assert by_both(neutral, neutral + bytes(32) + b"body") == ("signature", b"body")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_has_32_bytes(size: int) -> None:
    with pytest.raises(WireError, match="32 bytes"):
        BatchSigner(bytes(size))
