"""A server that is not ours: what it says moves no terminal, fills no memory, and breaks nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import threading
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from owner.api import Api, Event, RefusedError

EVIL = "bob\x1b[2J\x9b31m\r\u202egnp.exe\u2066"
PLAIN = "bob\ufffd[2J\ufffd31m\ufffd\ufffdgnp.exe\ufffd"


class Stranger:
    """Answers everything with `status` and `body`, packed or not."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"{}", dict[str, str]()
        self.asked: list[str] = []
        stranger = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stranger.asked.append(self.headers.get("accept-encoding", ""))
                self.send_response(stranger.status)
                for name, value in stranger.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(stranger.body)))
                self.end_headers()
                self.wfile.write(stranger.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def api(self) -> Api:
        return Api(f"http://127.0.0.1:{self.server.server_address[1]}")


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    stranger = Stranger()
    yield stranger
    stranger.server.shutdown()
    stranger.server.server_close()


async def events(api: Api) -> list[Event]:
    return [event async for event in api.events("/live")]


def test_no_text_is_a_command_for_a_terminal(stranger: Stranger) -> None:
    """Somebody else's address stands beside what they share, a tag's name beside its place."""
    stranger.body = json.dumps([{"from_email": EVIL, "names": [EVIL, "two\nlines\tÄ\u2028ö"]}]).encode()
    assert stranger.api.get("/household") == [{"from_email": PLAIN, "names": [PLAIN, "two\nlines\tÄ\u2028ö"]}]
    stranger.body = f"event: state\ndata: {json.dumps({'name': EVIL})}\n\n".encode()
    assert asyncio.run(events(stranger.api)) == [Event("state", {"name": PLAIN}, "")]
    stranger.status = 400
    stranger.body = json.dumps({"error": {"code": "x", "message": EVIL, "do": EVIL}}).encode()
    for ask in (lambda: stranger.api.get("/tags"), lambda: asyncio.run(events(stranger.api))):
        with pytest.raises(RefusedError) as refused:
            ask()
        assert (refused.value.message, refused.value.do) == (PLAIN, PLAIN)


@pytest.mark.parametrize("status", [200, 400])
def test_a_packed_answer_is_not_unpacked(stranger: Stranger, status: int) -> None:
    stranger.status, stranger.headers = status, {"content-encoding": "gzip"}
    stranger.body = gzip.compress(bytes(64 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError):
            stranger.api.get("/tags")
        with contextlib.suppress(RefusedError):
            assert asyncio.run(events(stranger.api)) == []
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert set(stranger.asked) == {"identity"}


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b""])
def test_what_is_no_json_is_no_server_of_ours(stranger: Stranger, body: bytes) -> None:
    stranger.body = body
    with pytest.raises(RefusedError) as refused:
        stranger.api.get("/tags")
    assert refused.value.code == "server_error"


def test_a_line_without_an_end_is_left(stranger: Stranger) -> None:
    for stranger.status in (200, 400):
        stranger.body = b"data: " + b"x" * 3 * 2**20
        with pytest.raises(RefusedError) as refused:
            asyncio.run(events(stranger.api))
        assert refused.value.code == "server_error"
