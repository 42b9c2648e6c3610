"""A small EasyPost for tests, over real HTTP: trackers to ask for, events to deliver, and everything that goes wrong.

Payloads are written from the vendor's public documentation (trackers, events, webhooks), not copied from it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
import unicodedata
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

KEY = "EZTK-test-key"
# A ligature and an accent: the secret counts in its normal form.
SECRET = "ﬁeld-sécret-of-the-webhook"
PLACES: dict[str, dict[str, str | None]] = {
    "origin": {"city": "WORCESTER", "state": "MA", "country": "US", "zip": "01613"},
    "hub": {"city": "MEMPHIS", "state": "TN", "country": "US", "zip": "38118"},
    "door": {"city": "GAINESVILLE", "state": "FL", "country": "US", "zip": "32601"},
    "west": {"city": "SPOKANE", "state": "WA", "country": "US", "zip": "99201"},
    "": {"city": None, "state": None, "country": None, "zip": None},
}


def detail(at: datetime | str, status: str, status_detail: str = "unknown", place: str = "") -> dict[str, Any]:
    """One event as it stands in `tracking_details`."""
    told = at if isinstance(at, str) else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {
        "object": "TrackingDetail", "message": "Scanned by somebody", "description": "", "status": status,
        "status_detail": status_detail, "datetime": told, "source": "USPS", "carrier_code": "",
        "tracking_location": {"object": "TrackingLocation", **PLACES[place]},
    }  # fmt: skip


def tracker(number: str, *details: dict[str, Any], carrier: str = "USPS", **more: Any) -> dict[str, Any]:
    """A tracker; its status is that of the last event."""
    last = details[-1] if details else {"status": "unknown", "status_detail": "unknown"}
    return {
        "id": "trk_" + hashlib.sha256(number.encode()).hexdigest()[:32], "object": "Tracker", "mode": "test",
        "tracking_code": number, "carrier": carrier, "status": last["status"],
        "status_detail": last["status_detail"], "created_at": "2026-11-12T09:00:00Z",
        "updated_at": last.get("datetime", "2026-11-12T09:00:00Z"), "signed_by": "RUTH EXAMPLE", "weight": None,
        "est_delivery_date": None, "shipment_id": None, "tracking_details": list(details), "carrier_detail": None,
        "public_url": "", "fees": [], **more,
    }  # fmt: skip


def event(name: str, about: dict[str, Any], description: str = "tracker.updated") -> bytes:
    """The body of a webhook."""
    body = {
        "id": name, "object": "Event", "mode": "test", "description": description, "previous_attributes": {},
        "status": "pending", "pending_urls": [], "completed_urls": [], "created_at": "2026-11-22T11:59:00Z",
        "updated_at": "2026-11-22T11:59:00Z", "user_id": "user_1", "result": about,
    }  # fmt: skip
    return json.dumps(body, ensure_ascii=False).encode()


def signed(raw: bytes, secret: str = SECRET) -> str:
    """`X-Hmac-Signature` as the documentation has it, made without our code."""
    key = unicodedata.normalize("NFKD", secret).encode()
    return "hmac-sha256-hex=" + hmac.new(key, raw, hashlib.sha256).hexdigest()


class Vendor:
    """A server on loopback. `mode`: ok, slow (it drips its answer), 500, 429, 404, huge, nonsense."""

    def __init__(self) -> None:
        self.mode, self.retry_after = "ok", "90"
        self.trackers: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.heard_out = False  # somebody waited for the end of a dripping answer
        self._handlers()

    def holds(self, about: dict[str, Any]) -> None:
        self.trackers[about["tracking_code"]] = about

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @contextmanager
    def open(self) -> Any:
        thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        yield self
        self.server.shutdown()
        self.server.server_close()

    def deliver(self, url: str, raw: bytes, signature: str | None = None) -> httpx.Response:
        """Post an event to whoever listens."""
        headers = {"content-type": "application/json", "x-hmac-signature": signature or signed(raw)}
        return httpx.post(f"{url}/api/v1/carriers/easypost", content=raw, headers=headers, trust_env=False, timeout=20)

    def _handlers(self) -> None:
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self._answer(f"POST {self.path}", body["tracker"]["tracking_code"])

            def do_GET(self) -> None:
                wanted = self.path.rpartition("/")[2]
                number = next((n for n, t in vendor.trackers.items() if t["id"] == wanted), "")
                self._answer(f"GET {self.path}", number)

            def _answer(self, what: str, number: str) -> None:
                vendor.asked.append(what)
                user = base64.b64decode(self.headers["authorization"].partition(" ")[2]).decode()
                known = vendor.trackers.get(number)
                if user != f"{KEY}:":
                    self._send(401, b"{}")
                elif vendor.mode in ("500", "429"):
                    self._send(int(vendor.mode), b"{}")
                elif vendor.mode == "404" or known is None:
                    self._send(404, json.dumps({"error": {"code": "TRACKER.NOT_FOUND"}}).encode())
                elif vendor.mode == "nonsense":
                    self._send(200, b'{"id": 7, "tracking_code": []}')
                elif vendor.mode == "huge":
                    self._send(200, json.dumps(known | {"x": "y" * 3_000_000}).encode())
                else:
                    self._send(200, json.dumps(known).encode())

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                if status == 429:
                    self.send_header("retry-after", vendor.retry_after)
                self.end_headers()
                try:
                    if vendor.mode == "slow":
                        for byte in body[:-1]:
                            self.wfile.write(bytes([byte]))
                            self.wfile.flush()
                            time.sleep(0.2)
                        vendor.heard_out, body = True, body[-1:]
                    self.wfile.write(body)
                except OSError:
                    pass  # whoever asked has hung up

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
