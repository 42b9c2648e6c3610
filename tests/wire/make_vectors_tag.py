"""The vectors of what a tag and its owner, or a stranger, say to each other, for tests/wire/make_vectors.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire import gatt, keys, nonowner, set_owner

Entries = list[dict[str, Any]]
FIRST_DAY = 20_758
DAYS = 3
UNIX_S = FIRST_DAY * 86_400 + 43_200


def tag_kinds(
    secret: Callable[[str, int], bytes], s_o: bytes, owner: Ed25519PrivateKey, k_claim: bytes, serial: int
) -> dict[str, Entries]:
    """Every kind of wire/vectors_tag.py. `secret(name, length)` makes keys that anybody can recompute."""
    k_own = keys.own_key(s_o)
    eids = b"".join(keys.eid(keys.day_public_key(s_o, day)) for day in range(FIRST_DAY, FIRST_DAY + DAYS))
    nonces = [secret(f"nonce of step {n}", gatt.NONCE_LEN) for n in range(3)]
    begin = set_owner.encode_begin(owner, serial=serial, nonce=nonces[0], k_own=k_own, first_day=FIRST_DAY, eids=eids)
    (part,) = set_owner.split_list(eids)
    finish = set_owner.encode_finish(UNIX_S)

    def step(n: int, plain: bytes, held: int) -> dict[str, Any]:
        iv = secret(f"iv of step {n}", set_owner.IV_LEN)
        data = set_owner.seal_step(k_claim, nonces[n], iv, plain)
        mac = gatt.claim_mac(k_claim, nonces[n], gatt.Op.SET_OWNER, data)
        return {
            "K_claim": k_claim.hex(),
            "nonce": nonces[n].hex(),
            "iv": iv.hex(),
            "key": set_owner.step_key(k_claim, nonces[n]).hex(),
            "plain": plain.hex(),
            "data": data.hex(),
            "message": gatt.encode_message(gatt.Op.SET_OWNER, data, mac).hex(),
            "reply": gatt.encode_reply(gatt.Op.SET_OWNER, set_owner.encode_held(held)).hex(),
            "held": held,
        }

    whole = {
        "private_key": owner.private_bytes_raw().hex(),
        "serial": serial,
        "nonce": nonces[0].hex(),
        "K_own": k_own.hex(),
        "first_day": FIRST_DAY,
        "EIDs": eids.hex(),
        "list_hash": set_owner.list_hash(eids).hex(),
        "unix_s": UNIX_S,
        "begin": begin.hex(),
        "part": part.hex(),
        "finish": finish.hex(),
    }
    return {
        "set_owner": [step(0, begin, 0), step(1, part, DAYS), step(2, finish, DAYS)],
        "set_owner_list": [whole],
        "owner_proofs": [_proofs(k_own, nonces[0])],
        "unlisted_day": [
            {"K_own": k_own.hex(), "day": day, "EID": keys.unlisted_eid(k_own, day).hex()}
            for day in (0, FIRST_DAY + DAYS)
        ],
        "identifier": [_identifier(secret, serial)],
    }


def _proofs(k_own: bytes, nonce: bytes) -> dict[str, Any]:
    return {
        "K_own": k_own.hex(),
        "nonce": nonce.hex(),
        "unix_s": UNIX_S,
        "seconds": 10,
        "near": gatt.near_data(k_own, nonce, UNIX_S).hex(),
        "ring": gatt.ring_data(k_own, nonce, 10).hex(),
        "clear": (bytes((gatt.ClearProof.OWNER,)) + gatt.owner_clear_proof(k_own, nonce)).hex(),
    }


def _identifier(secret: Callable[[str, int], bytes], serial: int) -> dict[str, Any]:
    k_lot, k_factory, random2 = secret("K_lot", 16), secret("K_factory", 16), bytes.fromhex("0001")
    identifier = nonowner.encode_identifier(
        k_lot, keys.tag_key(k_factory, serial), serial=serial, uptime_s=86_400, boot=3, random2=random2
    )
    return {
        "K_factory": k_factory.hex(),
        "K_lot": k_lot.hex(),
        "serial": serial,
        "uptime_s": 86_400,
        "boot": 3,
        "random": random2.hex(),
        "identifier": identifier.hex(),
        "indication": nonowner.encode_said(nonowner.Opcode.IDENTIFIER, identifier.hex().encode()).hex(),
    }
