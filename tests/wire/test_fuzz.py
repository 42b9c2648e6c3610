"""No input makes a decoder do anything but return a value or raise its one error."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wire.make_vectors import make
from wire import (
    activation,
    batch,
    claim_code,
    command,
    directory,
    enrolment,
    frames,
    gatt,
    manifest,
    nonowner,
    receipt,
    report_upload,
    sealed,
    set_owner,
    signing,
    state,
    topics,
)
from wire.errors import WireError
from wire.vectors import verify_file
from wire.vectors_own import ALL_KINDS

KEY = bytes(range(16))
LONG_KEY = bytes(range(32))
PUBLIC = Ed25519PrivateKey.from_private_bytes(LONG_KEY).public_key()


def _whole_batch(body: bytes) -> object:
    return batch.unpack_sightings(batch.decode_batch(body))


def _whole_manifest(file: bytes) -> object:
    _, rows = manifest.open_manifest(file, [PUBLIC])
    return [manifest.decode_unit(row) for row in rows]


def _chunks(stream: bytes) -> object:
    reassembler = gatt.Reassembler()
    return [reassembler.feed(stream[n : n + 5]) for n in range(0, len(stream) or 1, 5)]


def _begin(fields: bytes) -> object:
    """Any key and any signature."""
    key, signature = fields[:32], fields[32:]
    set_owner.verify_begin(set_owner.Begin(KEY, 0, 1, LONG_KEY, key.ljust(32, b"x"), signature), 1, KEY[:8])
    return None


BYTE_DECODERS: dict[str, Callable[[bytes], object]] = {
    "frame kind": frames.frame_kind,
    "P frame": lambda frame: frames.decode_p(frame, KEY, KEY),
    "O frame": frames.decode_o,
    "advertisement": frames.frame_of_advertisement,
    "sealed report": lambda report: sealed.open_report(report, LONG_KEY),
    "report's EID": sealed.report_eid,
    "day key": lambda key: sealed.seal(sealed.Report(0, 0, 0, 0, 0, 0, bytes(4), 0), key),
    "envelope": lambda payload: signing.verify(PUBLIC, signing.Domain.BATCH, payload),
    "public key": signing.public_key,
    "batch": _whole_batch,
    "receipt": receipt.decode_receipt,
    "command": command.decode_command,
    "answer": command.decode_answer,
    "state": state.decode_state,
    "enrolment request": enrolment.decode_request,
    "enrolment reply": enrolment.decode_enrol_reply,
    "gatt message": gatt.decode_message,
    "gatt reply": lambda reply: gatt.decode_reply(reply, 1),
    "gatt chunks": _chunks,
    "near data": gatt.unix_of_near_data,
    "step of set owner": set_owner.decode_step,
    "sealed step": lambda data: set_owner.open_step(KEY, KEY[:8], data),
    "held": set_owner.decode_held,
    "signed begin": _begin,
    "non-owner message": nonowner.decode_said,
    "non-owner response": nonowner.decode_response,
    "identifier": lambda identifier: nonowner.decode_identifier(identifier, KEY, KEY),
    "N frame": lambda frame: frames.verify_n(frame, KEY, 0),
    "activation answer": lambda answer: activation.verify_answer(LONG_KEY, KEY, answer),
    "activation key": lambda key: activation.verify_answer(key, KEY, bytes(activation.ANSWER_LEN)),
    "activation challenge": lambda text: activation.verify_answer(LONG_KEY, text, bytes(activation.ANSWER_LEN)),
    "directory's index": directory.decode_index,
    "directory's shard": lambda shard: directory.decode_shard(shard, 1, 2),
    "key in a shard": lambda shard: directory.find_key(shard, KEY),
    "report upload": report_upload.decode_upload,
    "manifest": _whole_manifest,
    "manifest row": manifest.decode_unit,
}
TEXT_DECODERS: dict[str, Callable[[str], object]] = {
    "claim code": claim_code.decode_claim_code,
    "token": enrolment.decode_token,
    "topic": topics.gateway_of,
    "topic of a gateway": topics.batch,
}


def _hex_strings(document: Any) -> list[bytes]:
    """Every byte string in our vectors: valid inputs of every kind, to be spoiled."""
    found: list[bytes] = []
    if isinstance(document, dict):
        for name, value in document.items():
            found += [value.encode()] if name == "file" else _hex_strings(value)
    elif isinstance(document, list):
        for value in document:
            found += _hex_strings(value)
    elif isinstance(document, str) and len(document) % 2 == 0:
        try:
            found.append(bytes.fromhex(document))
        except ValueError:
            return []
    return found


VECTORS = make()
VALID = sorted(set(_hex_strings(VECTORS)))
VALID_TEXTS = [entry["code"] for entry in VECTORS["claim_code"]] + [VECTORS["enrol_token"][0]["token"]]


def returns_or_refuses(decode: Callable[[Any], object], value: object) -> None:
    with contextlib.suppress(WireError):
        decode(value)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A valid input with bytes changed, cut out or put in: what lies just beside the truth."""
    raw = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        replacement = draw(st.binary(max_size=6))
        raw[at : at + draw(st.integers(0, 6))] = replacement
    return bytes(raw)


@given(st.one_of(st.binary(max_size=400), spoiled()), st.sampled_from(sorted(BYTE_DECODERS)))
@example(b"", "batch")
@example(b"\xdd\xff\xff\xff\xff", "receipt")
@example(b"\x91" * 100_000, "batch")
@example(bytes(batch.MAX_BYTES + 1), "batch")
def test_bytes(raw: bytes, name: str) -> None:
    returns_or_refuses(BYTE_DECODERS[name], raw)


@given(spoiled())
def test_every_decoder_survives_everything(raw: bytes) -> None:
    for decode in BYTE_DECODERS.values():
        returns_or_refuses(decode, raw)


@given(st.one_of(st.text(), st.sampled_from(VALID_TEXTS).flatmap(lambda text: st.text(max_size=3).map(text.__add__))))
@example("\ud800")
@example("HS1." + "A" * 40_000)
@example("hearsight/1/gw/a\n/batch")
def test_texts(text: str) -> None:
    for decode in TEXT_DECODERS.values():
        returns_or_refuses(decode, text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=8))
def test_a_file_of_vectors_with_any_value_anywhere(value: object) -> None:
    for kind, entries in VECTORS.items():
        for field in entries[0]:
            verify_file(json.dumps({kind: [{**entries[0], field: value}]}), ALL_KINDS)
            if isinstance(entries[0][field], dict):
                inner = dict.fromkeys(entries[0][field], value)
                assert not verify_file(json.dumps({kind: [{**entries[0], field: inner}]}), ALL_KINDS).good
