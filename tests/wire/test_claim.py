"""The claim code, the claim service's messages and the activation receipt."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from wire import activation, gatt
from wire.claim_code import decode_claim_code, encode_claim_code
from wire.errors import WireError

SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U"
CODES = st.binary(min_size=16, max_size=16)


def mistyped(text: str) -> bool:
    try:
        decode_claim_code(text)
    except WireError as refused:
        return refused.code == "code_mistyped"
    return False


@given(CODES)
def test_code_round_trip(k_claim: bytes) -> None:
    code = encode_claim_code(k_claim)
    assert decode_claim_code(code) == k_claim
    assert decode_claim_code(f"  {code.lower().replace('-', ' ')} ") == k_claim
    assert decode_claim_code(code.replace("0", "O").replace("1", "l")) == k_claim


@given(CODES)
def test_every_single_wrong_character_is_noticed(k_claim: bytes) -> None:
    code = encode_claim_code(k_claim).replace("-", "")
    for place, right in enumerate(code):
        for symbol in SYMBOLS:
            if symbol != right:
                assert mistyped(code[:place] + symbol + code[place + 1 :])


@given(CODES)
def test_every_exchange_of_neighbours_is_noticed(k_claim: bytes) -> None:
    code = encode_claim_code(k_claim).replace("-", "")
    for place in range(len(code) - 1):
        left, right = code[place], code[place + 1]
        if left != right:
            assert mistyped(code[:place] + right + left + code[place + 2 :])


@given(CODES)
def test_a_character_too_many_or_too_few_is_noticed(k_claim: bytes) -> None:
    code = encode_claim_code(k_claim).replace("-", "")
    assert mistyped(code[1:])
    assert mistyped(code[:-1])
    assert mistyped(code + "0")


def test_padding_bits_must_be_zero() -> None:
    """One key has one code: 26 symbols could hold four numbers for each."""
    number = (1 << 129) | 5
    body = "".join(SYMBOLS[number >> shift & 31] for shift in range(125, -5, -5))
    assert mistyped(body + SYMBOLS[number % 37])


def feed_all(reassembler: gatt.Reassembler, chunks: list[bytes]) -> list[bytes | None]:
    return [reassembler.feed(chunk) for chunk in chunks]


# --- GATT -------------------------------------------------------------------------------------------------


@given(st.integers(0, 255), st.binary(max_size=3_000), st.integers(2, 600))
def test_message_round_trip_in_any_chunks(op: int, data: bytes, chunk_len: int) -> None:
    mac = gatt.claim_mac(bytes(16), bytes(8), op, data)
    message = gatt.encode_message(op, data, mac)
    reassembler = gatt.Reassembler()
    chunks = list(gatt.split_chunks(message, chunk_len))
    assert all(len(chunk) <= chunk_len for chunk in chunks)
    assert feed_all(reassembler, chunks) == [None] * (len(chunks) - 1) + [message]
    assert gatt.decode_message(message) == (op, data, mac)
    assert gatt.decode_reply(gatt.encode_reply(op, data), op) == data


def test_a_lost_or_doubled_chunk_ends_the_attempt_and_a_new_one_begins() -> None:
    chunks = list(gatt.split_chunks(bytes(100)))
    for spoiled in (chunks[:1] + chunks[2:], chunks[:2] + chunks[1:], chunks[1:]):
        reassembler = gatt.Reassembler()
        with pytest.raises(WireError) as refused:
            feed_all(reassembler, spoiled)
        assert refused.value.code == "chunk_order"
        assert feed_all(reassembler, chunks)[-1] == bytes(100)


@pytest.mark.parametrize("part", [b"", b"x", bytes(19)])
def test_endless_chunks_are_refused_in_bounded_memory(part: bytes) -> None:
    heads = [(0x80 if index == 0 else 0) | index & 0x3F for index in range(gatt.MAX_MESSAGE + 1)]
    with pytest.raises(WireError) as refused:
        feed_all(gatt.Reassembler(), [bytes((head,)) + part for head in heads])
    assert refused.value.code == "oversized"


@given(st.binary(max_size=60), st.integers(0, 255), st.binary(max_size=60), st.integers(0, 255))
def test_mac_binds_nonce_op_and_data(one: bytes, op: int, other: bytes, other_op: int) -> None:
    if (one, op) != (other, other_op):
        nonce = bytes(8)
        assert gatt.claim_mac(bytes(16), nonce, op, one) != gatt.claim_mac(bytes(16), nonce, other_op, other)
    assert gatt.claim_mac(bytes(16), bytes(8), op, one) != gatt.claim_mac(bytes(16), b"1" * 8, op, one)


# --- Activation -------------------------------------------------------------------------------------------

TAG = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = TAG.public_key().public_bytes_raw()
CHALLENGE, OWNER = bytes(range(16)), bytes(range(16, 32))


@given(st.integers(0, 2**40 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1))
def test_receipt_round_trip(serial: int, boot: int, uptime_s: int) -> None:
    answer = activation.answer_challenge(TAG, CHALLENGE, serial=serial, boot=boot, uptime_s=uptime_s, owner_hash=OWNER)
    stated = activation.verify_answer(PUBLIC, CHALLENGE, answer)
    assert stated[:4] == (serial, boot, uptime_s, OWNER)


@given(st.integers(0, activation.ANSWER_LEN - 1), st.integers(1, 255))
def test_every_byte_of_a_receipt_counts(at: int, change: int) -> None:
    answer = bytearray(activation.answer_challenge(TAG, CHALLENGE, serial=1, boot=2, uptime_s=3, owner_hash=OWNER))
    answer[at] ^= change
    with pytest.raises(WireError) as refused:
        activation.verify_answer(PUBLIC, CHALLENGE, bytes(answer))
    assert refused.value.code == "receipt_invalid"


def test_a_receipt_answers_one_challenge_under_one_key() -> None:
    answer = activation.answer_challenge(TAG, CHALLENGE, serial=1, boot=2, uptime_s=3, owner_hash=OWNER)
    with pytest.raises(WireError, match="this challenge"):
        activation.verify_answer(PUBLIC, bytes(16), answer)
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    with pytest.raises(WireError, match="this tag"):
        activation.verify_answer(other, CHALLENGE, answer)
