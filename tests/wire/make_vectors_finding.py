"""The vectors of the directory and of sealed reports on their way up, for tests/wire/make_vectors.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire import directory, keys, report_upload
from wire.signing import Domain

DAY = 20_758
MADE_MS = 1_790_000_000_000
SHARDS = 4
TAGS = 9

Entries = list[dict[str, Any]]


def finding_kinds(
    secret: Callable[[str], bytes],
    s_o: bytes,
    signed: Callable[..., dict[str, Any]],
    signers: tuple[Ed25519PrivateKey, Ed25519PrivateKey],
    reports: Sequence[bytes],
) -> dict[str, Entries]:
    """A day of nine tags, in four shards, and two reports; `signers` are the server and the gateway."""
    server, gateway = signers
    owners = [s_o, *(secret(f"owner {n}") for n in range(TAGS - 1))]
    shards = [_shard(number, [keys.day_public_key(owner, DAY) for owner in owners]) for number in range(SHARDS)]
    index = directory.Index(DAY, MADE_MS, tuple(bytes.fromhex(shard["sha256"]) for shard in shards))
    upload = report_upload.encode_upload("dock-1", reports)
    return {
        "directory_index": [signed(server, Domain.DIRECTORY, index, directory.encode_index(index))],
        "directory_shard": shards,
        "report_upload": [signed(gateway, Domain.REPORTS, report_upload.decode_upload(upload), upload)],
    }


def _shard(number: int, day_keys: Sequence[bytes]) -> dict[str, Any]:
    entries = {keys.eid(key): key for key in day_keys if directory.shard_of(keys.eid(key), SHARDS) == number}
    shard = directory.encode_shard(entries.items(), number, SHARDS)
    return {
        "number": number,
        "of": SHARDS,
        "keys": b"".join(entries.values()).hex(),
        "shard": shard.hex(),
        "sha256": directory.shard_hash(shard).hex(),
    }
