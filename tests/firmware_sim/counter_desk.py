"""A counter desk for simulated gateways: enrols them over HTTP and answers their batches with receipts.

Everything it says is signed and real (wire), the broker is the server's own; only what stands behind it, database and
rules, is left out: a dictionary of bodies. The whole way to the real server is tests/e2e's.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from wire import signing, topics
from wire.batch import GatewayClass, decode_batch
from wire.enrolment import EnrolReply, EnrolToken, decode_request, encode_enrol_reply
from wire.errors import WireError
from wire.receipt import NOTHING_SETTLED, Outcome, OutcomeKind, Receipt, encode_receipt
from wire.signing import Domain

Key = tuple[str, bytes, int]


class CounterDesk:
    """`bodies`: what was stored. `mute` batches are left without an answer first; `forge` signs with a wrong key."""

    def __init__(self, mqtt_url: str) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.gateways: dict[str, bytes] = {}
        self.bodies: dict[Key, bytes] = {}
        self.counts: Counter[str] = Counter()
        self.mute = 0
        self.refuse = False
        self.forge: Ed25519PrivateKey | None = None
        self.mqtt_url, self.url = mqtt_url, ""
        self._subscribed = threading.Event()

    def token(self, gateway: str) -> EnrolToken:
        return EnrolToken(self.url, gateway, bytes(16), self.key.public_key().public_bytes_raw())

    def enrol(self, payload: bytes) -> bytes:
        request = decode_request(payload[signing.SIGNATURE_LEN :])
        signing.verify(signing.public_key(request.public_key), Domain.ENROL_REQUEST, payload)
        self.gateways[request.gateway] = request.public_key
        reply = EnrolReply(request.gateway, request.public_key, self.mqtt_url, "u", "p", GatewayClass.OWN_SITE, 0xF0)
        return signing.sign(self.forge or self.key, Domain.ENROL_REPLY, encode_enrol_reply(reply))

    def take(self, client: mqtt.Client, topic: str, payload: bytes) -> None:
        gateway = topics.gateway_of(topic)
        self.counts["delivered"] += 1
        if self.mute > 0:
            self.mute -= 1
            return
        try:
            body = signing.verify(signing.public_key(self.gateways[gateway]), Domain.BATCH, payload)
        except (KeyError, WireError):
            self.counts["dropped"] += 1
            return
        batch = decode_batch(body)
        key = (gateway, batch.outbox_id, batch.sequence)
        kind = OutcomeKind.STORED
        if key in self.bodies:
            kind = OutcomeKind.DUPLICATE if self.bodies[key] == body else OutcomeKind.SEQUENCE_CONFLICT
        if self.refuse:
            kind = OutcomeKind.REFUSED
        else:
            self.bodies.setdefault(key, body)
        self.counts[kind.name] += 1
        outcome = Outcome(batch.sequence, kind, "from_the_future" if self.refuse else "")
        receipt = Receipt(gateway, batch.outbox_id, NOTHING_SETTLED, (outcome,))
        signed = signing.sign(self.forge or self.key, Domain.RECEIPT, encode_receipt(receipt))
        client.publish(topics.receipt(gateway), signed, qos=1)

    def connect(self) -> mqtt.Client:
        host, port = self.mqtt_url.removeprefix("mqtt://").split(":")
        client = mqtt.Client(CallbackAPIVersion.VERSION2, "counter-desk", protocol=MQTTProtocolVersion.MQTTv5)
        client.on_message = lambda c, _data, message: self.take(c, message.topic, bytes(message.payload))
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.connect(host, int(port))
        client.subscribe(topics.ALL_BATCHES, qos=1)
        client.loop_start()
        assert self._subscribed.wait(10)
        return client


@contextmanager
def open_desk(mqtt_url: str) -> Iterator[CounterDesk]:
    desk = CounterDesk(mqtt_url)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            payload = self.rfile.read(int(self.headers["content-length"]))
            known = self.path == "/api/v1/gateways/enrol"
            answer = desk.enrol(payload) if known else b'{"error": {"code": "gone", "message": "Nothing here."}}'
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    desk.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = desk.connect()
    try:
        yield desk
    finally:
        client.disconnect()
        client.loop_stop()
        server.shutdown()
        server.server_close()
