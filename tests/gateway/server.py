"""A small server for a gateway's tests: enrols over real HTTP, takes batches over a real broker, signs receipts.

It keeps a ledger as the real one does ((gateway, outbox, sequence) → SHA-256 of the body) and every publication it saw.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.gateway.claims import Claims, RefusedError
from tests.gateway.finding import House
from wire import topics
from wire.batch import Batch, GatewayClass, Place, decode_batch, unpack_sightings
from wire.command import LIFETIME_MS, Answer, Command, Order, decode_answer, encode_command
from wire.enrolment import EnrolReply, EnrolToken, decode_request, encode_enrol_reply, encode_token
from wire.errors import WireError
from wire.frames import NETWORK_ID_LAB
from wire.receipt import Outcome, OutcomeKind, Receipt, encode_receipt
from wire.signing import SIGNATURE_LEN, Domain, public_key, sign, verify
from wire.state import GatewayState, decode_state

GATEWAY = "dock-1"
SECRET = bytes(range(16))


def wait_for(true: Callable[[], Any], seconds: float = 10.0, why: str = "") -> Any:
    """The first true answer. Asks often, because tests on two shared cores should not sleep longer than needed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = true()
        if answer:
            return answer
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s in vain {why}")


@dataclass
class Publication:
    """One message on a batch topic, as it came."""

    payload: bytes
    batch: Batch
    believed: bool


@dataclass
class TestServer:
    """HTTP in a thread of its own, MQTT in paho's. `silent` stores without a receipt, `deaf` does not even store."""

    __test__ = False
    mqtt_url: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    place: Place | None = None
    password: str = "broker's secret"
    silent: bool = False
    deaf: bool = False

    def __post_init__(self) -> None:
        self.gateway_key: bytes | None = None
        self.ledger: dict[tuple[bytes, int], bytes] = {}
        self.stored: list[Batch] = []
        self.seen: list[Publication] = []
        self.states: list[GatewayState] = []
        self.answers: list[Answer] = []
        self.claims: Claims | None = None
        self.house = House(self.key)
        self.enrol_answer: tuple[int, bytes] | None = None
        self._lock = threading.Lock()
        self._sequence = 0
        self._client: mqtt.Client | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(*server.house.route("GET", self.path, self.headers, b""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/api/v1/reports":
                    self.answer(*server.house.route("POST", self.path, self.headers, body))
                    return
                status, answer = server.route(self.path, body, self.headers.get("authorization", ""))
                self.answer(status, {}, answer)

            def answer(self, status: int, headers: dict[str, str], answer: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def token(self) -> str:
        return encode_token(EnrolToken(self.url, GATEWAY, SECRET, self.key.public_key().public_bytes_raw()))

    def close(self) -> None:
        self.leave()
        self._http.shutdown()
        self._http.server_close()

    # ------------------------------------------------------------------------------------ HTTP
    def route(self, path: str, body: bytes, authorization: str) -> tuple[int, bytes]:
        if path == "/api/v1/gateways/enrol":
            return self.enrol(body)
        assert self.claims is not None
        assert path.startswith("/api/v1/claims")
        try:
            told = self.claims.post(path.removeprefix("/api/v1/claims"), json.loads(body), authorization)
        except RefusedError as refused:
            return refused.status, json.dumps(refused.body).encode()
        return 200, json.dumps(told).encode()

    def enrol(self, payload: bytes) -> tuple[int, bytes]:
        if self.enrol_answer is not None:
            return self.enrol_answer
        request = decode_request(payload[SIGNATURE_LEN:])
        verify(public_key(request.public_key), Domain.ENROL_REQUEST, payload)
        if request.secret != SECRET:
            error = {"code": "enrolment_refused", "message": "This token is not valid.", "do": "Ask for a new one."}
            return 403, json.dumps({"error": error}).encode()
        self.gateway_key = request.public_key
        self.house.gateway_key = public_key(request.public_key)
        reply = EnrolReply(
            GATEWAY, request.public_key, self.mqtt_url, f"gw-{GATEWAY}", self.password, GatewayClass.OWN_SITE,
            NETWORK_ID_LAB, self.place,
        )  # fmt: skip
        return 200, sign(self.key, Domain.ENROL_REPLY, encode_enrol_reply(reply))

    # ------------------------------------------------------------------------------------ MQTT
    def join(self, version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5, password: str = "") -> None:
        """Connect to the broker and take batches; paho connects again by itself."""
        client = self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "test-server", protocol=version)
        client.max_inflight_messages_set(1000)
        client.reconnect_delay_set(1, 1)
        ready = threading.Event()
        if password:
            client.username_pw_set("server", password)

        def on_connect(client: mqtt.Client, *_: Any) -> None:
            topic = f"hearsight/1/gw/{GATEWAY}/"
            client.subscribe([(topic + kind, 1) for kind in ("batch", "state", "answer")])

        client.on_connect = on_connect
        client.on_subscribe = lambda *_: ready.set()
        client.on_message = self._on_message
        host, port = self.mqtt_url.removeprefix("mqtt://").split(":")
        client.connect(host, int(port))
        client.loop_start()
        assert ready.wait(10)

    def leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.rsplit("/", 1)[1]
        if kind == "state":
            self.states.append(decode_state(bytes(message.payload)))
        elif kind == "answer":
            assert self.gateway_key is not None
            self.answers.append(
                decode_answer(verify(public_key(self.gateway_key), Domain.ANSWER, bytes(message.payload)))
            )
        elif not self.deaf:
            self._on_batch(bytes(message.payload))

    def _on_batch(self, payload: bytes) -> None:
        batch = decode_batch(payload[SIGNATURE_LEN:])
        try:
            assert self.gateway_key is not None
            verify(public_key(self.gateway_key), Domain.BATCH, payload)
            unpack_sightings(batch)
            believed = True
        except WireError:
            believed = False
        with self._lock:
            self.seen.append(Publication(payload, batch, believed))
            if believed:
                outcome = self._store(batch, payload[SIGNATURE_LEN:])
                if not self.silent:
                    self.publish(topics.receipt(GATEWAY), self.receipt(batch.outbox_id, outcome))

    def _store(self, batch: Batch, body: bytes) -> Outcome:
        digest = hashlib.sha256(body).digest()
        before = self.ledger.setdefault((batch.outbox_id, batch.sequence), digest)
        if before != digest:
            return Outcome(batch.sequence, OutcomeKind.SEQUENCE_CONFLICT)
        if any(b.outbox_id == batch.outbox_id and b.sequence == batch.sequence for b in self.stored[-5000:]):
            return Outcome(batch.sequence, OutcomeKind.DUPLICATE)
        self.stored.append(batch)
        return Outcome(batch.sequence, OutcomeKind.STORED)

    def receipt(self, outbox_id: bytes, *outcomes: Outcome) -> bytes:
        settled = -1
        while (outbox_id, settled + 1) in self.ledger:
            settled += 1
        return sign(self.key, Domain.RECEIPT, encode_receipt(Receipt(GATEWAY, outbox_id, settled, outcomes)))

    def publish(self, topic: str, payload: bytes) -> None:
        assert self._client is not None
        self._client.publish(topic, payload, qos=1)

    def order(self, order: Order, *, sequence: int | None = None, lives_ms: int = LIFETIME_MS) -> bytes:
        """Send a command; returns its signed bytes."""
        now_ms = time.time_ns() // 1_000_000
        self._sequence = max(self._sequence + 1, now_ms * 1000) if sequence is None else sequence
        command = Command(GATEWAY, self._sequence, now_ms + lives_ms, order)
        payload = sign(self.key, Domain.COMMAND, encode_command(command))
        self.publish(topics.command(GATEWAY), payload)
        return payload

    # ------------------------------------------------------------------------------------ what was stored
    def frames(self) -> list[bytes]:
        """Every frame stored, in the order of storing."""
        with self._lock:
            return [h.frame for batch in self.stored for s in unpack_sightings(batch) for h in s.frames]
