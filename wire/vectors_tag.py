"""Test vectors of what a tag and its owner, or a stranger, say to each other: op 02 by steps, proofs, identifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire import gatt, keys, nonowner, set_owner
from wire.vectors import Hex, Int, Kind, MismatchError, Values, expect


def _check_set_owner(v: Values) -> None:
    """One message of op 02: what is in it, under which key, and its MAC."""
    expect("key", v["key"], set_owner.step_key(v["K_claim"], v["nonce"]))
    data = set_owner.seal_step(v["K_claim"], v["nonce"], v["iv"], v["plain"])
    expect("data", v["data"], data)
    expect("the opened step", v["plain"], set_owner.open_step(v["K_claim"], v["nonce"], v["data"]))
    set_owner.decode_step(v["plain"])
    mac = gatt.claim_mac(v["K_claim"], v["nonce"], gatt.Op.SET_OWNER, data)
    expect("message", v["message"], gatt.encode_message(gatt.Op.SET_OWNER, data, mac))
    expect("held", v["held"], set_owner.decode_held(gatt.decode_reply(v["reply"], gatt.Op.SET_OWNER)))


def _check_set_owner_list(v: Values) -> None:
    """The plaintexts of a whole list."""
    owner = Ed25519PrivateKey.from_private_bytes(v["private_key"])
    begin = set_owner.encode_begin(
        owner, serial=v["serial"], nonce=v["nonce"], k_own=v["K_own"], first_day=v["first_day"], eids=v["EIDs"]
    )
    expect("begin", v["begin"], begin)
    stated = set_owner.decode_step(v["begin"])
    if not isinstance(stated, set_owner.Begin):
        raise MismatchError("begin is another step")
    set_owner.verify_begin(stated, v["serial"], v["nonce"])
    expect("list_hash", v["list_hash"], stated.list_hash)
    expect("part", v["part"], b"".join(set_owner.split_list(v["EIDs"])))
    expect("finish", v["finish"], set_owner.encode_finish(v["unix_s"]))
    expect("the opened finish", set_owner.decode_step(v["finish"]), set_owner.Finish(v["unix_s"]))


def _check_owner_proofs(v: Values) -> None:
    expect("near", v["near"], gatt.near_data(v["K_own"], v["nonce"], v["unix_s"]))
    expect("unix_s", v["unix_s"], gatt.unix_of_near_data(v["near"]))
    expect("ring", v["ring"], gatt.ring_data(v["K_own"], v["nonce"], v["seconds"]))
    proof = bytes((gatt.ClearProof.OWNER,)) + gatt.owner_clear_proof(v["K_own"], v["nonce"])
    expect("clear", v["clear"], proof)


def _check_unlisted(v: Values) -> None:
    expect("EID", v["EID"], keys.unlisted_eid(v["K_own"], v["day"]))


def _check_identifier(v: Values) -> None:
    identifier = nonowner.encode_identifier(
        v["K_lot"],
        keys.tag_key(v["K_factory"], v["serial"]),
        serial=v["serial"],
        uptime_s=v["uptime_s"],
        boot=v["boot"],
        random2=v["random"],
    )
    expect("identifier", v["identifier"], identifier)
    opened = nonowner.decode_identifier(v["identifier"], v["K_lot"], v["K_factory"])
    expect("the opened identifier", nonowner.Identity(v["serial"], v["uptime_s"], v["boot"]), opened)
    said = nonowner.encode_said(nonowner.Opcode.IDENTIFIER, identifier.hex().encode())
    expect("indication", v["indication"], said)


TAG_KINDS: Final[Mapping[str, Kind]] = {
    "set_owner": Kind(
        {
            "K_claim": Hex(16),
            "nonce": Hex(gatt.NONCE_LEN),
            "iv": Hex(set_owner.IV_LEN),
            "key": Hex(set_owner.KEY_LEN),
            "plain": Hex(),
            "data": Hex(),
            "message": Hex(),
            "reply": Hex(),
            "held": Int(16),
        },
        _check_set_owner,
    ),
    "set_owner_list": Kind(
        {
            "private_key": Hex(32),
            "serial": Int(40),
            "nonce": Hex(gatt.NONCE_LEN),
            "K_own": Hex(16),
            "first_day": Int(32),
            "EIDs": Hex(),
            "list_hash": Hex(32),
            "unix_s": Int(32),
            "begin": Hex(),
            "part": Hex(),
            "finish": Hex(),
        },
        _check_set_owner_list,
    ),
    "owner_proofs": Kind(
        {
            "K_own": Hex(16),
            "nonce": Hex(gatt.NONCE_LEN),
            "unix_s": Int(32),
            "seconds": Int(8),
            "near": Hex(20),
            "ring": Hex(17),
            "clear": Hex(17),
        },
        _check_owner_proofs,
    ),
    "unlisted_day": Kind({"K_own": Hex(16), "day": Int(32), "EID": Hex(16)}, _check_unlisted),
    "identifier": Kind(
        {
            "K_factory": Hex(16),
            "K_lot": Hex(16),
            "serial": Int(40),
            "uptime_s": Int(32),
            "boot": Int(16),
            "random": Hex(2),
            "identifier": Hex(nonowner.IDENTIFIER_LEN),
            "indication": Hex(),
        },
        _check_identifier,
    ),
}
