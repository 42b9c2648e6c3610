"""The server's half of private finding for a gateway's tests: a directory to fetch and a door for sealed reports.

Honest by the wire's rules (it signs its indexes, verifies uploads, opens nothing); each thing that can go wrong is a
field that a test sets.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from wire.directory import Index, encode_index, encode_shard, shard_hash, shard_of
from wire.errors import WireError
from wire.keys import eid
from wire.report_upload import decode_upload, split_reports
from wire.signing import Domain, sign, verify

Reply = tuple[int, dict[str, str], bytes]


def a_key(n: int) -> bytes:
    """Somebody's day key: any 32 bytes are one."""
    return hashlib.sha256(b"day key %d" % n).digest()


@dataclass
class House:
    """Directory and reports. `away` refuses everything, `spoil` changes shards on their way, and `fail` is what the
    next requests get instead.
    """

    key: Ed25519PrivateKey
    gateway_key: Ed25519PublicKey | None = None
    shards: int = 1
    away: bool = False
    spoil: dict[bytes, bytes] = field(default_factory=dict)
    fail: list[int | Reply] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.indexes: dict[int, bytes] = {}
        self.bytes_of: dict[bytes, bytes] = {}
        self.asked: list[str] = []
        self.statuses: list[int] = []
        self.uploads: list[tuple[str, list[bytes]]] = []
        self.reports: set[bytes] = set()
        self._made_ms = time.time_ns() // 1_000_000

    def publish(self, day: int, keys: Iterable[bytes]) -> list[bytes]:
        """From now on these are the keys of the day; returns the shards, in order."""
        self._made_ms += 1
        entries = {eid(key): key for key in keys}
        shards = []
        for number in range(self.shards):
            mine = [(e, key) for e, key in entries.items() if shard_of(e, self.shards) == number]
            shards.append(encode_shard(mine, number, self.shards))
            self.bytes_of[shard_hash(shards[-1])] = shards[-1]
        index = Index(day, self._made_ms, tuple(shard_hash(shard) for shard in shards))
        self.indexes[day] = sign(self.key, Domain.DIRECTORY, encode_index(index))
        return shards

    def route(self, method: str, path: str, headers: Any, body: bytes) -> Reply:
        self.asked.append(path)
        if self.away:
            reply: Reply = (503, {}, b"{}")
        elif self.fail:
            failure = self.fail.pop(0)
            reply = (failure, {}, b"{}") if isinstance(failure, int) else failure
        elif method == "POST" and path == "/api/v1/reports":
            reply = self._report(body)
        elif method == "GET" and path.startswith("/api/v1/directory/"):
            reply = self._directory(path.removeprefix("/api/v1/directory/"), headers)
        else:
            reply = 404, {}, b"{}"
        self.statuses.append(reply[0])
        return reply

    def _directory(self, path: str, headers: Any) -> Reply:
        day, _, name = path.partition("/")
        if name:
            shard = self.bytes_of.get(bytes.fromhex(name))
            return (404, {}, b"{}") if shard is None else (200, {}, self.spoil.get(bytes.fromhex(name), shard))
        index = self.indexes.get(int(day))
        if index is None:
            return 404, {}, b'{"error": {"code": "directory_unknown", "message": "", "do": ""}}'
        etag = f'"{shard_hash(index).hex()}"'
        return (304, {"etag": etag}, b"") if headers.get("if-none-match") == etag else (200, {"etag": etag}, index)

    def _report(self, payload: bytes) -> Reply:
        assert self.gateway_key is not None
        try:
            upload = decode_upload(verify(self.gateway_key, Domain.REPORTS, payload))
        except WireError as error:
            return 401, {}, json.dumps({"error": {"code": error.code, "message": str(error), "do": ""}}).encode()
        reports = split_reports(upload.reports)
        self.uploads.append((upload.gateway, reports))
        known = len(reports) - len(set(reports) - self.reports)
        self.reports |= set(reports)
        return 200, {}, json.dumps({"stored": len(reports) - known, "known": known, "refused": {}}).encode()


@contextmanager
def serving(house: House) -> Iterator[str]:
    """The house at a real address of its own."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, headers, content = house.route(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in {"content-length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815 - the base class's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        http.server_close()
