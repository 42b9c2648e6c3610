"""Simulated gateways at the real server: they enrol with a token, publish signed batches, and wait for receipts.

They do what a gateway does, without a radio and without a disk: what has no receipt is held here, at most
`MAX_IN_FLIGHT` batches, and published again after a while or a reconnect.
"""

from __future__ import annotations

import json
import ssl
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from firmware_sim.tag import Dice
from wire import signing, topics
from wire.batch import Batch, Place, encode_batch
from wire.enrolment import MAX_BYTES, EnrolRequest, EnrolToken, decode_enrol_reply, encode_request
from wire.errors import WireError
from wire.receipt import decode_receipt
from wire.signing import Domain

MAX_IN_FLIGHT: Final = 8
# Without a receipt for so long a batch is published again. Soon at first: the server hears of a newly enrolled gateway
# a moment after it was enrolled, and drops unanswered what came before. When all have passed, somebody should look.
AGAIN_S: Final = (2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0)
_CONNECT_S: Final = 20.0
_ENROL_S: Final = 30.0
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_ENROL_PATH: Final = "/api/v1/gateways/enrol"


class GatewayError(Exception):
    """The server or the broker does not do its part; the message says what to do."""


class Identity(msgspec.Struct, frozen=True):
    """An enrolled gateway as it is kept in a file of mode 0600; bytes as base64."""

    gateway: str
    private_key: bytes
    server_public_key: bytes
    mqtt_url: str
    mqtt_username: str
    mqtt_password: str
    ca_pem: str
    place: Place | None


# --- Enrolment --------------------------------------------------------------------------------------------


def enrol(token: EnrolToken, dice: Dice) -> Identity:
    """Spends a token. Raises GatewayError with the server's own words."""
    private = Ed25519PrivateKey.from_private_bytes(dice(32))
    public = private.public_key().public_bytes_raw()
    body = encode_request(EnrolRequest(token.gateway, token.secret, public))
    payload = _post(token.url.rstrip("/") + _ENROL_PATH, signing.sign(private, Domain.ENROL_REQUEST, body))
    try:
        server = signing.public_key(token.server_public_key)
        reply = decode_enrol_reply(signing.verify(server, Domain.ENROL_REPLY, payload))
    except WireError as wrong:
        raise GatewayError(f"whoever answers at {token.url} is not the server of this token ({wrong})") from None
    if (reply.gateway, reply.public_key) != (token.gateway, public):
        raise GatewayError(f"the server at {token.url} enrolled another gateway than {token.gateway}")
    return Identity(
        gateway=reply.gateway,
        private_key=private.private_bytes_raw(),
        server_public_key=token.server_public_key,
        mqtt_url=reply.mqtt_url,
        mqtt_username=reply.mqtt_username,
        mqtt_password=reply.mqtt_password,
        ca_pem=reply.ca_pem,
        place=reply.place,
    )


def _post(url: str, body: bytes) -> bytes:
    if urlsplit(url).scheme not in ("http", "https"):
        raise GatewayError(f"{url} is not an address of a server")
    request = urllib.request.Request(url, body, {"content-type": "application/octet-stream"})  # noqa: S310 - checked
    try:
        with urllib.request.urlopen(request, timeout=_ENROL_S) as answer:  # noqa: S310
            return bytes(answer.read(MAX_BYTES + 1))
    except urllib.error.HTTPError as refused:
        raise GatewayError(f"{url} refused: {_words_of(refused.read(MAX_BYTES))}") from None
    except OSError as wrong:
        raise GatewayError(f"{url} does not answer ({wrong}): is the server up?") from None


def _words_of(body: bytes) -> str:
    """The server's one shape of an error, or whatever it said."""
    try:
        error = json.loads(body)["error"]
        return f"{error['message']} {error.get('do') or ''} ({error['code']})"
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")


# --- Publishing -------------------------------------------------------------------------------------------


class Sender:
    """One simulated gateway's connection. `outcomes` counts what became of its batches."""

    def __init__(self, identity: Identity, on_settled: Callable[[], None] = lambda: None) -> None:
        self.outcomes: Counter[str] = Counter()
        self._identity, self._on_settled = identity, on_settled
        self._private = Ed25519PrivateKey.from_private_bytes(identity.private_key)
        self._server = signing.public_key(identity.server_public_key)
        self._changed = threading.Condition()
        self._in_flight: dict[tuple[bytes, int], bytes] = {}
        self._trouble = "not connected yet"
        self._client = self._make_client(identity)

    def _make_client(self, identity: Identity) -> mqtt.Client:
        url = urlsplit(identity.mqtt_url)
        if url.scheme not in _PORTS or not url.hostname:
            raise GatewayError(f"{identity.mqtt_url} is not an mqtt:// or mqtts:// address")
        # Not the id of the real gateway, which may be connected at the same time: a broker would part with one.
        client_id = f"{identity.gateway}-sim"
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set(identity.mqtt_username, identity.mqtt_password)
        client.max_queued_messages_set(2 * MAX_IN_FLIGHT)
        client.reconnect_delay_set(1, 10)
        if url.scheme == "mqtts":
            client.tls_set_context(ssl.create_default_context(cadata=identity.ca_pem or None))
        client.on_connect, client.on_subscribe = self._on_connect, self._on_subscribe
        client.on_disconnect, client.on_message = self._on_disconnect, self._on_message
        client.connect_async(url.hostname, url.port or _PORTS[url.scheme])
        return client

    def __enter__(self) -> Sender:
        self._client.loop_start()
        with self._changed:
            if not self._changed.wait_for(lambda: not self._trouble, _CONNECT_S):
                self.close()
                raise GatewayError(f"{self._identity.gateway} cannot reach {self._identity.mqtt_url}: {self._trouble}")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Says goodbye; what was not settled is the caller's to send again."""
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, batch: Batch) -> None:
        """Publishes a batch, waiting while too many are without a receipt. Raises GatewayError."""
        self._wait(MAX_IN_FLIGHT - 1)
        payload = signing.sign(self._private, Domain.BATCH, encode_batch(batch))
        with self._changed:
            self._in_flight[batch.outbox_id, batch.sequence] = payload
        self._publish(payload)

    def settle(self) -> None:
        """Waits until every batch has its receipt. Raises GatewayError."""
        self._wait(0)

    def _wait(self, at_most: int) -> None:
        for again_s in AGAIN_S:
            with self._changed:
                if self._changed.wait_for(lambda: len(self._in_flight) <= at_most, again_s):
                    return
                waiting = list(self._in_flight.values())
            for payload in waiting:
                self._publish(payload)
        trouble = self._trouble or "the server gives no receipts: is its ingest running, is this gateway known to it?"
        raise GatewayError(f"{self._identity.gateway} has waited {sum(AGAIN_S):.0f} s: {trouble}")

    def _publish(self, payload: bytes) -> None:
        info = self._client.publish(topics.batch(self._identity.gateway), payload, qos=1)
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            self.outcomes["not_published"] += 1  # the next round does it again

    # ------------------------------------------------------------------------------------ in paho's thread
    def _on_connect(self, client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _more: object) -> None:
        if code.is_failure:
            self._say(f"the broker refused us: {code}")
        else:
            client.subscribe(topics.receipt(self._identity.gateway), qos=1)

    def _on_subscribe(self, _c: mqtt.Client, _data: object, _mid: int, codes: list[ReasonCode], _more: object) -> None:
        failed = any(code.is_failure for code in codes)
        self._say("the broker does not let us read our receipts" if failed else "")
        with self._changed:
            waiting = list(self._in_flight.values())
        for payload in waiting:
            self._publish(payload)

    def _on_disconnect(self, _c: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _more: object) -> None:
        self._say(f"the connection ended: {code}")

    def _say(self, trouble: str) -> None:
        with self._changed:
            self._trouble = trouble
            self._changed.notify_all()

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            receipt = decode_receipt(signing.verify(self._server, Domain.RECEIPT, bytes(message.payload)))
        except WireError as wrong:
            self.outcomes[f"receipt_{wrong.code}"] += 1
            return
        if receipt.gateway != self._identity.gateway:
            self.outcomes["receipt_of_another"] += 1
            return
        with self._changed:
            for outcome in receipt.outcomes:
                self._end(receipt.outbox_id, outcome.sequence, f"{outcome.kind.name.lower()} {outcome.reason}")
            for outbox_id, sequence in list(self._in_flight):
                if outbox_id == receipt.outbox_id and sequence <= receipt.settled_up_to:
                    self._end(outbox_id, sequence, "settled")
            self._changed.notify_all()
        self._on_settled()

    def _end(self, outbox_id: bytes, sequence: int, outcome: str) -> None:
        if self._in_flight.pop((outbox_id, sequence), None) is not None:
            self.outcomes[outcome.strip()] += 1
