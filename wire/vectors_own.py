"""Test vectors of what only our own programs exchange: batches, receipts, commands, claims, directory, shared days.

A `value` is a message with its fields by name, bytes as hex, a step of the carrying dialogue with its name under
`step`; `body` is what MessagePack makes of it, `payload` that body behind its signature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire import (
    batch,
    claim_code,
    command,
    directory,
    enrolment,
    frames,
    gatt,
    household,
    keys,
    manifest,
    receipt,
    report_upload,
    share,
    signing,
    state,
)
from wire.packing import pack
from wire.signing import Domain
from wire.vectors import SHARED_KINDS, Field, Hex, Int, Json, Kind, MismatchError, Values, expect
from wire.vectors_tag import TAG_KINDS

_STEPS: Final = {
    struct.__name__.lower(): struct
    for struct in (
        command.Find,
        command.Candidates,
        command.Connect,
        command.Nonce,
        command.Write,
        command.Result,
        command.Failed,
    )
}
_STEP_TAGS: Final = {name: int(command.Step[name.upper()]) for name in _STEPS}


# --- Values as JSON ---------------------------------------------------------------------------------------


def as_json(value: object) -> Any:
    """A message as the vectors show it: structs as objects, bytes as hex."""
    if isinstance(value, msgspec.Struct):
        shown = {name: as_json(getattr(value, name)) for name in value.__struct_fields__}
        step = type(value).__name__.lower()
        return {"step": step, **shown} if step in _STEPS else shown
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [as_json(item) for item in value]
    return value


def as_wire(shown: Any, kind: msgspec.inspect.Type) -> Any:
    """The arrays and bytes that travel, from what a vector shows. Raises MismatchError."""
    if isinstance(kind, msgspec.inspect.Metadata):
        return as_wire(shown, kind.type)
    if isinstance(kind, msgspec.inspect.UnionType):
        return _union_as_wire(shown, kind)
    if isinstance(kind, msgspec.inspect.StructType):
        return _struct_as_wire(shown, kind)
    if isinstance(kind, msgspec.inspect.BytesType):
        return Hex().read(shown)
    if isinstance(kind, msgspec.inspect.VarTupleType) and isinstance(shown, list):
        return [as_wire(item, kind.item_type) for item in shown]
    return shown


def _union_as_wire(shown: Any, kind: msgspec.inspect.UnionType) -> Any:
    if shown is None:
        return None
    structs = [one for one in kind.types if isinstance(one, msgspec.inspect.StructType)]
    if not isinstance(shown, dict):
        return shown
    for one in structs:
        if len(structs) == 1 or one.cls is _STEPS.get(str(shown.get("step"))):
            return _struct_as_wire(shown, one)
    raise MismatchError("value has a step that this message cannot carry")


def _struct_as_wire(shown: Any, kind: msgspec.inspect.StructType) -> list[Any]:
    if not isinstance(shown, dict):
        raise MismatchError(f"value: a {kind.cls.__name__} is an object of its fields")
    tag = [_STEP_TAGS[str(shown.get("step"))]] if kind.tag is not None else []
    names = {field.name for field in kind.fields} | ({"step"} if tag else set())
    if set(shown) != names:
        raise MismatchError(f"value: a {kind.cls.__name__} has the fields {', '.join(sorted(names))}")
    return tag + [as_wire(shown[field.name], field.type) for field in kind.fields]


# --- Checks -----------------------------------------------------------------------------------------------

Decode = Callable[[bytes], msgspec.Struct]


def _check_value(v: Values, struct: type[msgspec.Struct], decode: Decode) -> msgspec.Struct:
    try:
        body = pack(as_wire(v["value"], msgspec.inspect.type_info(struct)))
    except (OverflowError, ValueError) as wrong:
        raise MismatchError(f"value cannot be packed: {wrong}") from None
    expect("body", v["body"], body)
    value = decode(v["body"])
    expect("the packed value", v["body"], pack(value))
    return value


def _check_signed(v: Values, domain: Domain) -> None:
    private = Ed25519PrivateKey.from_private_bytes(v["private_key"])
    expect("public_key", v["public_key"], private.public_key().public_bytes_raw())
    expect("payload", v["payload"], signing.sign(private, domain, v["body"]))
    signing.verify(signing.public_key(v["public_key"]), domain, v["payload"])


def _signed(struct: type[msgspec.Struct], decode: Decode, domain: Domain) -> Kind:
    def check(v: Values) -> None:
        _check_value(v, struct, decode)
        _check_signed(v, domain)

    fields: dict[str, Field] = {
        "private_key": Hex(32),
        "public_key": Hex(32),
        "value": Json(dict),
        "body": Hex(),
        "payload": Hex(),
    }
    return Kind(fields, check)


def _check_batch(v: Values) -> None:
    value = _check_value(v, batch.Batch, batch.decode_batch)
    assert isinstance(value, batch.Batch)
    heard = [heard_as_json(seen) for seen in batch.unpack_sightings(value)]
    expect("heard", v["heard"], heard)
    expect("sightings and frames", (value.sightings, value.frames), batch.pack_sightings(batch.unpack_sightings(value)))
    _check_signed(v, Domain.BATCH)


def heard_as_json(seen: batch.Sighting) -> dict[str, Any]:
    """One sighting with its fields by name."""
    return {
        **{name: getattr(seen, name) for name in seen._fields if name != "frames"},
        "frames": [{"heard_ms": held.heard_ms, "frame": held.frame.hex()} for held in seen.frames],
    }


def _check_state(v: Values) -> None:
    _check_value(v, state.GatewayState, state.decode_state)


def _check_enrol_token(v: Values) -> None:
    token = enrolment.decode_token(v["token"])
    body = pack(as_wire(v["value"], msgspec.inspect.type_info(enrolment.EnrolToken)))
    expect("value", body, pack(token))
    expect("token", v["token"], enrolment.encode_token(token))


def _check_claim_code(v: Values) -> None:
    expect("code", v["code"], claim_code.encode_claim_code(v["K_claim"]))
    expect("K_claim", v["K_claim"], claim_code.decode_claim_code(v["code"]))
    expect("claim_hash", v["claim_hash"], keys.claim_hash(v["K_claim"]))


def _check_gatt(v: Values) -> None:
    mac = gatt.claim_mac(v["K_claim"], v["nonce"], v["op"], v["data"])
    expect("mac", v["mac"], mac)
    expect("message", v["message"], gatt.encode_message(v["op"], v["data"], mac))
    expect("the opened message", gatt.decode_message(v["message"]), gatt.Message(v["op"], v["data"], mac))
    chunks = list(gatt.split_chunks(v["message"], v["chunk_len"]))
    expect("chunks", v["chunks"], [chunk.hex() for chunk in chunks])
    reassembler = gatt.Reassembler()
    expect("the chunks together", [reassembler.feed(chunk) for chunk in chunks][-1], v["message"])
    expect("reply", v["reply"], gatt.encode_reply(v["op"], v["reply_data"]))
    expect("reply_data", v["reply_data"], gatt.decode_reply(v["reply"], v["op"]))


def _check_release(v: Values) -> None:
    private = Ed25519PrivateKey.from_private_bytes(v["private_key"])
    expect("public_key", v["public_key"], private.public_key().public_bytes_raw())
    signature = private.sign(gatt.release_message(v["serial"], v["nonce"]))
    expect("data", v["data"], bytes((gatt.ClearProof.RELEASE,)) + signature)


def _check_near_owner(v: Values) -> None:
    frame = frames.encode_n(v["K_own"], tick=v["tick"], random12=v["random"], status=v["status"])
    expect("frame", v["frame"], frame)
    expect("its kind", frames.FrameType.NEAR_OWNER, frames.frame_kind(v["frame"]))
    if not frames.verify_n(v["frame"], v["K_own"], v["tick"]):
        raise MismatchError("the owner does not recognise the frame")


def _check_manifest(v: Values) -> None:
    file = v["file"].encode()
    header, rows = manifest.open_manifest(file, [signing.public_key(v["public_key"])])
    units = [manifest.decode_unit(row) for row in rows]
    private = Ed25519PrivateKey.from_private_bytes(v["private_key"])
    expect("file", file, manifest.encode_manifest(header, units, private))
    expect("serials", v["serials"], [unit.serial for unit in units])


def _check_share(v: Values) -> None:
    days = tuple(
        share.SharedDay(day, keys.day_private_key(v["S_o"], day), keys.fetch_token(v["S_o"], day))
        for day in range(v["first_day"], v["first_day"] + v["days"])
    )
    said = share.Share(v["ends_s"], days)
    expect("bytes", v["bytes"], share.pack_share(said))
    expect("fragment", v["fragment"], share.encode_share(said))
    if share.decode_share(v["fragment"]) != said:
        raise MismatchError("the fragment read again differs")


def _check_owner_signing(v: Values) -> None:
    seed = keys.owner_signing_seed(v["S_o"])
    expect("seed", v["seed"], seed)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    expect("public_key", v["public_key"], public)
    expect("owner_hash", v["owner_hash"], keys.owner_hash(public))


def _check_household(v: Values) -> None:
    opened = household.open_handover(v["sealed"], v["d"])
    for name, found in (("serial", opened.serial), ("tick_zero_s", opened.tick_zero_s), ("S_o", opened.s_o)):
        expect(name, v[name], found)


def _check_directory_shard(v: Values) -> None:
    rows = [v["keys"][start : start + directory.KEY_LEN] for start in range(0, len(v["keys"]), directory.KEY_LEN)]
    if any(len(key) != directory.KEY_LEN for key in rows):
        raise MismatchError("keys are not whole keys")
    entries = {keys.eid(key): key for key in rows}
    expect("shard", v["shard"], directory.encode_shard(entries.items(), v["number"], v["of"]))
    expect("the opened shard", directory.decode_shard(v["shard"], v["number"], v["of"]), entries)
    expect("the keys found", [directory.find_key(v["shard"], eid) for eid in entries], rows)
    expect("sha256", v["sha256"], directory.shard_hash(v["shard"]))


OWN_KINDS: Final[Mapping[str, Kind]] = {
    "near_owner": Kind(
        {"K_own": Hex(16), "tick": Int(32), "random": Hex(12), "status": Int(8), "frame": Hex(frames.FRAME_LEN)},
        _check_near_owner,
    ),
    "batch": Kind(
        {
            "private_key": Hex(32),
            "public_key": Hex(32),
            "value": Json(dict),
            "heard": Json(list),
            "body": Hex(),
            "payload": Hex(),
        },
        _check_batch,
    ),
    "receipt": _signed(receipt.Receipt, receipt.decode_receipt, Domain.RECEIPT),
    "command": _signed(command.Command, command.decode_command, Domain.COMMAND),
    "answer": _signed(command.Answer, command.decode_answer, Domain.ANSWER),
    "enrol_request": _signed(enrolment.EnrolRequest, enrolment.decode_request, Domain.ENROL_REQUEST),
    "enrol_reply": _signed(enrolment.EnrolReply, enrolment.decode_enrol_reply, Domain.ENROL_REPLY),
    "enrol_token": Kind({"value": Json(dict), "token": Json(str)}, _check_enrol_token),
    "state": Kind({"value": Json(dict), "body": Hex()}, _check_state),
    "claim_code": Kind({"K_claim": Hex(16), "code": Json(str), "claim_hash": Hex(32)}, _check_claim_code),
    "gatt": Kind(
        {
            "K_claim": Hex(16),
            "nonce": Hex(gatt.NONCE_LEN),
            "op": Int(8),
            "data": Hex(),
            "mac": Hex(gatt.MAC_LEN),
            "message": Hex(),
            "chunk_len": Int(16),
            "chunks": Json(list),
            "reply_data": Hex(),
            "reply": Hex(),
        },
        _check_gatt,
    ),
    "release": Kind(
        {
            "private_key": Hex(32),
            "public_key": Hex(32),
            "serial": Int(40),
            "nonce": Hex(gatt.NONCE_LEN),
            "data": Hex(65),
        },
        _check_release,
    ),
    "manifest": Kind(
        {"private_key": Hex(32), "public_key": Hex(32), "file": Json(str), "serials": Json(list)}, _check_manifest
    ),
    "directory_index": _signed(directory.Index, directory.decode_index, Domain.DIRECTORY),
    "directory_shard": Kind(
        {"number": Int(16), "of": Int(16), "keys": Hex(), "shard": Hex(), "sha256": Hex(32)}, _check_directory_shard
    ),
    "report_upload": _signed(report_upload.ReportUpload, report_upload.decode_upload, Domain.REPORTS),
    "owner_signing": Kind(
        {"S_o": Hex(32), "seed": Hex(32), "public_key": Hex(32), "owner_hash": Hex(16)}, _check_owner_signing
    ),
    "share": Kind(
        {
            "S_o": Hex(32),
            "first_day": Int(32),
            "days": Int(5),
            "ends_s": Int(32),
            "bytes": Hex(),
            "fragment": Json(str),
        },
        _check_share,
    ),
    "household": Kind(
        {
            "d": Hex(32),
            "S_o": Hex(32),
            "serial": Int(40),
            "tick_zero_s": Int(32),
            "sealed": Hex(household.HANDOVER_LEN),
        },
        _check_household,
    ),
}
ALL_KINDS: Final[Mapping[str, Kind]] = {**SHARED_KINDS, **OWN_KINDS, **TAG_KINDS}

__all__ = ["ALL_KINDS", "OWN_KINDS", "as_json", "as_wire", "heard_as_json"]
