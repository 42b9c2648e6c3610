"""The ingest's own port: `/metrics` for Prometheus, `/health` for whoever looks after it (200, or 503 with reasons).

It answers from memory, so it answers while the database hangs. A few requests at once are served and further ones
turned away: whoever reaches the port must not be able to fill the process with threads.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from server.ingest.health import Watch
from server.observe import metrics
from server.refusal import conflict
from server.settings import variable

_AT_ONCE: Final = 8
# Whoever asks for counters does so in one breath.
_PATIENCE_S: Final = 5.0


def serve(host: str, port: int, watch: Watch) -> Port:
    """Starts to listen, on a thread of its own that ends with the process. Refusals: ingest_port_taken."""
    try:
        made = Port(host, port, watch)
    except (OSError, OverflowError) as error:  # the latter: a worker counted beyond the last port
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise conflict(
            "ingest_port_taken", f"The ingest cannot tell its counters on {host}:{port}: {why}.",
            f"Set {variable('ingest_port')} to another one; each worker after the first takes the next.", str(port),
        ) from None  # fmt: skip
    threading.Thread(target=made.serve_forever, name="port", daemon=True).start()
    return made


class Port(ThreadingHTTPServer):
    """The listener. `server_address` says where."""

    daemon_threads = True

    def __init__(self, host: str, port: int, watch: Watch) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        self.routes: dict[str, Callable[[], tuple[int, str, bytes]]] = {
            "/metrics": _counters,
            "/health": lambda: _health(watch),
        }
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up in the middle broke nothing, and must not fill the log."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE_S
    server: Port

    def do_GET(self) -> None:
        answer = self.server.routes.get(self.path.partition("?")[0])
        status, content_type, body = answer() if answer else (404, "text/plain", b"/metrics or /health\n")
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Not worth a line each."""


def _counters() -> tuple[int, str, bytes]:
    text, content_type = metrics()
    return 200, content_type, text


def _health(watch: Watch) -> tuple[int, str, bytes]:
    state, wrong = watch.look(), watch.problems()
    said = {
        "status": "red" if wrong else "ok",
        "problems": [{"reason": each.reason, "text": each.text} for each in wrong],
        "lag_s": round(state.lag_s, 1),
        "waiting_batches": state.backlog.waiting,
        "unanswered_batches": state.backlog.unanswered,
        "connected": state.away_s == 0,
        "stored_sightings": watch.stored,
    }
    return 503 if wrong else 200, "application/json", json.dumps(said).encode() + b"\n"
