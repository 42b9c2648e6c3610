"""Makes docs/vectors.json: one or a few entries of every kind, under keys that anybody can recompute.

Run `python -m tests.wire.make_vectors` after a change of the wire format; a test fails until the file agrees. What is
sealed holds fresh randomness by nature, so the published ones are kept here as they came out once.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.wire.make_vectors_finding import finding_kinds
from tests.wire.make_vectors_tag import tag_kinds
from wire import (
    activation,
    batch,
    claim_code,
    command,
    enrolment,
    frames,
    gatt,
    household,
    keys,
    manifest,
    receipt,
    sealed,
    share,
    signing,
    state,
)
from wire.signing import Domain
from wire.vectors_own import as_json, heard_as_json

FILE = Path(__file__).resolve().parents[2] / "docs" / "vectors.json"
NOON_MS = 1_790_000_000_000
SERIAL = 8_000_000_017
SEALED = [
    "0151ff314703b74a24a7164176deb0e26fde5f1bd114d186afeaa8096ea37a83887e184da3c431d615706e5f50"
    "09fd80756e7e846f3cc11926359613e824da9260c1a828e446350260963c1f7aec1247c447b93127ce523c08",
    "0151ff314703b74a24a7164176deb0e26f9db9ece7044701d10445487830227e289c468baa2aa670f0f103de92"
    "027a1b0daaed366e90e7c8715defd5e4b6e6ed662c877323862077b731336104c660b8d6183329f773b0f529",
]
HANDOVERS = [
    "01eaca1b2f90637cdea946307997ffc40d4b51cd0837046bb6c0dc06d7de6a0f20e0f458b1951a33313762cb0c"
    "22ad8d7178ac16c4920006ab204c9b8ea11a27b10e59c8c5e4693f8d90456c7a88e6d6508000912a97f1445244",
    "01971de81045914b27231c747ceaae71ec9505e8f475f9ff8701a8046455a048397d3674c289c98e3a7cf36401"
    "7ac707096d2294aec9cd29f04c3f681d25473c9aaed0f9602a9c4b9a213860d13cdc7c87e9aa70c95ca0f2ba50",
]


def secret(name: str, length: int = 32) -> bytes:
    """A key for tests: SHA-256 of its name. Never a key of anything real."""
    return hashlib.sha256(b"hearsight test vector: " + name.encode()).digest()[:length]


def ed25519(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(secret(name))


GATEWAY, SERVER, TAG, FACTORY = (ed25519(name) for name in ("gateway", "server", "tag", "factory"))
S_O = secret("owner")
K_CLAIM = secret("K_claim", 16)
NONCE = secret("nonce", 8)
OUTBOX = secret("outbox", 16)
SESSION = secret("session", 16)


def p_frame(uptime_s: int, random2: str, *, serial: int = SERIAL, boot: int = 3, status: int = 0x30) -> bytes:
    return frames.encode_p(
        secret("K_lot", 16),
        keys.tag_key(secret("K_factory", 16), serial),
        serial=serial,
        uptime_s=uptime_s,
        boot=boot,
        random2=bytes.fromhex(random2),
        status=status,
    )


def provenance() -> list[dict[str, Any]]:
    rows = [
        (SERIAL, 86_400, 3, "0001", 0x30),
        (0, 0, 0, "0000", 0),
        (2**40 - 1, 2**32 - 1, 2**16 - 1, "ffff", 0xF8),
    ]
    made = []
    for serial, uptime_s, boot, random2, status in rows:
        frame = p_frame(uptime_s, random2, serial=serial, boot=boot, status=status)
        made.append(
            {
                "K_factory": secret("K_factory", 16).hex(),
                "K_lot": secret("K_lot", 16).hex(),
                "serial": serial,
                "uptime_s": uptime_s,
                "boot": boot,
                "random": random2,
                "status": status,
                "frame": frame.hex(),
                "advertisement": frames.advertisement(frame).hex(),
            }
        )
    return made


def owner(day: int) -> dict[str, Any]:
    public = keys.day_public_key(S_O, day)
    return {
        "S_o": S_O.hex(),
        "day": day,
        "d": keys.day_private_key(S_O, day).hex(),
        "P": public.hex(),
        "f": keys.fetch_token(S_O, day).hex(),
        "K_own": keys.own_key(S_O).hex(),
        "EID": keys.eid(public).hex(),
    }


def owned(day: int, tick: int, status: int) -> dict[str, Any]:
    eid = keys.eid(keys.day_public_key(S_O, day))
    frame = frames.encode_o(keys.own_key(S_O), eid, tick=tick, status=status)
    return {
        "K_own": keys.own_key(S_O).hex(),
        "EID": eid.hex(),
        "tick": tick,
        "status": status,
        "frame": frame.hex(),
    }


def near_owner() -> dict[str, Any]:
    frame = frames.encode_n(keys.own_key(S_O), tick=5, random12=secret("random", 12), status=0x40)
    return {
        "K_own": keys.own_key(S_O).hex(),
        "tick": 5,
        "random": secret("random", 12).hex(),
        "status": 0x40,
        "frame": frame.hex(),
    }


def activation_answer() -> tuple[bytes, bytes, bytes]:
    """Challenge, owner hash and what the tag answered."""
    challenge, owner_hash = secret("challenge", 16), keys.owner_hash(ed25519("owner").public_key().public_bytes_raw())
    answer = activation.answer_challenge(TAG, challenge, serial=SERIAL, boot=3, uptime_s=86_400, owner_hash=owner_hash)
    return challenge, owner_hash, answer


def sealed_report(report: str, day: int) -> dict[str, Any]:
    opened = sealed.open_report(bytes.fromhex(report), keys.day_private_key(S_O, day))
    shown = {name: as_json(getattr(opened, name)) for name in sealed.Report.__slots__}
    return {"d": keys.day_private_key(S_O, day).hex(), "report": report, **shown}


def signed(private: Ed25519PrivateKey, domain: Domain, value: Any, body: bytes) -> dict[str, Any]:
    return {
        "private_key": private.private_bytes_raw().hex(),
        "public_key": private.public_key().public_bytes_raw().hex(),
        "value": as_json(value),
        "body": body.hex(),
        "payload": signing.sign(private, domain, body).hex(),
    }


def batches() -> list[dict[str, Any]]:
    heard = [
        batch.Sighting(
            NOON_MS - 50_000,
            NOON_MS - 10_000,
            5,
            -61,
            -67,
            (
                batch.HeardFrame(NOON_MS - 50_000, p_frame(86_400, "0001")),
                batch.HeardFrame(NOON_MS - 10_000, p_frame(86_440, "0002")),
            ),
        ),
        batch.Sighting(
            NOON_MS - 7,
            NOON_MS - 7,
            1,
            -99,
            -99,
            (batch.HeardFrame(NOON_MS - 7, p_frame(7, "0003", serial=SERIAL + 1)),),
            frames_lost=2,
        ),
    ]
    rows, held = batch.pack_sightings(heard)
    place = batch.Place(525_200_080, 134_050_000, 35, batch.PlaceSource.FIXED)
    full = batch.Batch("dock-1", OUTBOX, 41, NOON_MS, batch.Clock.GOOD, place, rows, held, {"foreign": 7})
    empty = batch.Batch("van-7", OUTBOX, 0, NOON_MS, batch.Clock.UNSURE)
    gone = batch.Batch("dock-1", OUTBOX, 42, NOON_MS, batch.Clock.GOOD, dropped={"disk_full": 1_000}, given_up=True)
    made = []
    for one in (full, empty, gone):
        entry = signed(GATEWAY, Domain.BATCH, one, batch.encode_batch(one))
        made.append({**entry, "heard": [heard_as_json(seen) for seen in batch.unpack_sightings(one)]})
    return made


def receipts() -> list[dict[str, Any]]:
    outcome, kind = receipt.Outcome, receipt.OutcomeKind
    rows = (
        outcome(41, kind.STORED),
        outcome(42, kind.DUPLICATE),
        outcome(43, kind.REFUSED, "from_the_future"),
        outcome(44, kind.SEQUENCE_CONFLICT),
    )
    values = [receipt.Receipt("dock-1", OUTBOX, 43, rows), receipt.Receipt("van-7", OUTBOX, receipt.NOTHING_SETTLED)]
    return [signed(SERVER, Domain.RECEIPT, value, receipt.encode_receipt(value)) for value in values]


def gatt_message(op: gatt.Op, data: bytes, reply: bytes, chunk_len: int = gatt.CHUNK_MIN) -> dict[str, Any]:
    mac = gatt.claim_mac(K_CLAIM, NONCE, op, data)
    message = gatt.encode_message(op, data, mac)
    return {
        "K_claim": K_CLAIM.hex(),
        "nonce": NONCE.hex(),
        "op": int(op),
        "data": data.hex(),
        "mac": mac.hex(),
        "message": message.hex(),
        "chunk_len": chunk_len,
        "chunks": [chunk.hex() for chunk in gatt.split_chunks(message, chunk_len)],
        "reply_data": reply.hex(),
        "reply": gatt.encode_reply(op, reply).hex(),
    }


def release() -> dict[str, Any]:
    signature = SERVER.sign(gatt.release_message(SERIAL, NONCE))
    return {
        "private_key": SERVER.private_bytes_raw().hex(),
        "public_key": SERVER.public_key().public_bytes_raw().hex(),
        "serial": SERIAL,
        "nonce": NONCE.hex(),
        "data": (bytes((gatt.ClearProof.RELEASE,)) + signature).hex(),
    }


def gatts() -> list[dict[str, Any]]:
    challenge, owner_hash, answer = activation_answer()
    return [
        gatt_message(gatt.Op.STATE, b"", bytes.fromhex("00")),
        gatt_message(gatt.Op.ACTIVATE, activation.activation_data(challenge, owner_hash), answer),
        gatt_message(gatt.Op.CLEAR, bytes.fromhex(release()["data"]), b"", 64),
    ]


def dialogue() -> dict[str, list[dict[str, Any]]]:
    frame = p_frame(86_400, "0001")
    orders: list[command.Order] = [
        command.Find(SESSION),
        command.Connect(SESSION, frame),
        command.Write(SESSION, b"message"),
    ]
    replies: list[command.Reply] = [
        command.Candidates(SESSION, (frame, p_frame(7, "0003", serial=SERIAL + 1))),
        command.Nonce(SESSION, NONCE),
        command.Result(SESSION, activation_answer()[2]),
        command.Failed(SESSION, "button_not_pressed"),
    ]
    commands = [command.Command("dock-1", n, NOON_MS + 60_000, body) for n, body in enumerate(orders)]
    answers = [command.Answer("dock-1", n, NOON_MS + 60_000, body) for n, body in enumerate(replies)]
    return {
        "command": [signed(SERVER, Domain.COMMAND, one, command.encode_command(one)) for one in commands],
        "answer": [signed(GATEWAY, Domain.ANSWER, one, command.encode_answer(one)) for one in answers],
    }


def enrolments() -> dict[str, list[dict[str, Any]]]:
    public, server = GATEWAY.public_key().public_bytes_raw(), SERVER.public_key().public_bytes_raw()
    token = enrolment.EnrolToken("https://tags.example", "dock-1", secret("token", 16), server)
    request = enrolment.EnrolRequest("dock-1", secret("token", 16), public)
    reply = enrolment.EnrolReply(
        "dock-1",
        public,
        "mqtts://broker.example:8883",
        "gw-dock-1",
        "password",
        batch.GatewayClass.OWN_SITE,
        frames.NETWORK_ID_LAB,
        batch.Place(525_200_080, 134_050_000, 35, batch.PlaceSource.FIXED),
    )
    return {
        "enrol_token": [{"value": as_json(token), "token": enrolment.encode_token(token)}],
        "enrol_request": [signed(GATEWAY, Domain.ENROL_REQUEST, request, enrolment.encode_request(request))],
        "enrol_reply": [signed(SERVER, Domain.ENROL_REPLY, reply, enrolment.encode_enrol_reply(reply))],
    }


def states() -> list[dict[str, Any]]:
    live = state.GatewayState(
        "dock-1", True, NOON_MS, "scanning", 0.25, 2, batch.Clock.GOOD, {"silence": 1}, {"foreign": 7}, NOON_MS, "0.1.0"
    )
    will = state.GatewayState("dock-1", False, NOON_MS)
    return [{"value": as_json(one), "body": state.encode_state(one).hex()} for one in (live, will)]


def manifests() -> list[dict[str, Any]]:
    units = [
        manifest.Unit(SERIAL, TAG.public_key().public_bytes_raw().hex(), keys.claim_hash(K_CLAIM).hex(), model="t1"),
        manifest.Unit(SERIAL + 1, secret("other").hex(), keys.claim_hash(secret("x", 16)).hex(), "silent"),
    ]
    header = manifest.Header("2026-11-a", "lot-1", datetime(2026, 11, 2, 8, tzinfo=UTC), len(units))
    return [
        {
            "private_key": FACTORY.private_bytes_raw().hex(),
            "public_key": FACTORY.public_key().public_bytes_raw().hex(),
            "file": manifest.encode_manifest(header, units, FACTORY).decode(),
            "serials": [unit.serial for unit in units],
        }
    ]


def claim_codes() -> list[dict[str, Any]]:
    return [
        {"K_claim": k.hex(), "code": claim_code.encode_claim_code(k), "claim_hash": keys.claim_hash(k).hex()}
        for k in (K_CLAIM, bytes(16), b"\xff" * 16)
    ]


def shared(first_day: int, days: int, ends_s: int) -> dict[str, Any]:
    rows = [
        share.SharedDay(day, keys.day_private_key(S_O, day), keys.fetch_token(S_O, day))
        for day in range(first_day, first_day + days)
    ]
    made = share.Share(ends_s, tuple(rows))
    return {
        "S_o": S_O.hex(),
        "first_day": first_day,
        "days": days,
        "ends_s": ends_s,
        "bytes": share.pack_share(made).hex(),
        "fragment": share.encode_share(made),
    }


def owner_signing() -> dict[str, Any]:
    seed = keys.owner_signing_seed(S_O)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    hashed = keys.owner_hash(public)
    return {"S_o": S_O.hex(), "seed": seed.hex(), "public_key": public.hex(), "owner_hash": hashed.hex()}


def handover(sealed_hex: str) -> dict[str, Any]:
    opened = household.open_handover(bytes.fromhex(sealed_hex), secret("member"))
    return {
        "d": secret("member").hex(),
        "S_o": opened.s_o.hex(),
        "serial": opened.serial,
        "tick_zero_s": opened.tick_zero_s,
        "sealed": sealed_hex,
    }


def make() -> dict[str, list[dict[str, Any]]]:
    """Every kind, the shared five first."""
    challenge, _, answer = activation_answer()
    tag = TAG.public_key().public_bytes_raw()
    return {
        "provenance": provenance(),
        "owner": [owner(0), owner(20_758)],
        "owned": [owned(20_758, 1_992_768, 0x40), owned(20_758, 2**32 - 1, 0)],
        "activation": [{"public_key": tag.hex(), "challenge": challenge.hex(), "answer": answer.hex()}],
        "sealed_report": [sealed_report(report, 20_758) for report in SEALED],
        "near_owner": [near_owner()],
        "batch": batches(),
        "receipt": receipts(),
        **dialogue(),
        **enrolments(),
        "state": states(),
        "claim_code": claim_codes(),
        "gatt": gatts(),
        "release": [release()],
        "manifest": manifests(),
        **tag_kinds(secret, S_O, ed25519("owner"), K_CLAIM, SERIAL),
        **finding_kinds(secret, S_O, signed, (SERVER, GATEWAY), [bytes.fromhex(report) for report in SEALED]),
        "owner_signing": [owner_signing()],
        "share": [shared(20_758, 1, 1_794_000_000), shared(20_756, share.MAX_DAYS, 2**32 - 1)],
        "household": [handover(one) for one in HANDOVERS],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(make(), indent=1) + "\n")
