"""The link to the broker: the only file that knows MQTT. It carries bytes and says when it can.

Each connection is a new paho client with a clean session, so that nothing of an old one lives on: what got no receipt
is published again from the outbox, and an hour without a broker costs no memory. MQTT 5 is tried first, 3.1.1 where the
broker wants it. The last will is a retained state that says offline; whether the gateway *hears* its states must tell.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from gateway.errors import Refusal

BACKOFF_MIN_S: Final = 0.5
BACKOFF_MAX_S: Final = 30.0
# A refused password will not become right within seconds; brokers throttle who keeps asking.
REFUSED_S: Final = 30.0
# Notices a silent broker within a minute, costs two bytes in that time.
KEEPALIVE_S: Final = 30
CONNECT_TIMEOUT_S: Final = 15.0
# How long a last word may take when the gateway is being stopped.
FAREWELL_S: Final = 2.0
# More unacknowledged messages than our own limit on batches, states and answers can make: then the broker is stuck.
QUEUE_MAX: Final = 64
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_CLIENT_DOMAIN: Final = b"hearsight gateway client id v1"
_VERSIONS: Final = (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311)
_REFUSED: Final = ("Bad user name or password", "Not authorized", "Banned")


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to connect and as whom. `ca_pem` checks the broker's certificate; empty: the system's own list does."""

    host: str
    port: int
    tls: bool
    username: str
    password: str = field(repr=False)
    ca_pem: str = ""

    @classmethod
    def from_url(cls, url: str, username: str, password: str, ca_pem: str) -> Broker:
        """Reads mqtt://host:port or mqtts://host:port. Raises Refusal `mqtt_url`."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise Refusal("mqtt_url", f"{url!r} is not an mqtt:// or mqtts:// address", "Enrol this gateway again.")
        port = parts.port or _PORTS[parts.scheme]
        return cls(parts.hostname, port, parts.scheme == "mqtts", username, password, ca_pem)

    def client_id(self, name: str) -> str:
        """The same for each connection, so that the broker ends the old one, and known to nobody without our password:
        Mosquitto lets everybody connect under any client id and cuts off whoever had it.
        """
        return f"{name}-{hmac.digest(self.password.encode(), _CLIENT_DOMAIN, 'sha256')[:8].hex()}"


@dataclass(frozen=True, slots=True)
class Mail:
    """What the link needs to know of us and our topics: a name, whose last will, and which ones to read."""

    name: str
    will_topic: str
    will: Callable[[], bytes]
    subscriptions: tuple[str, ...]


class Link:
    """Stays connected for ever. All callbacks run in the event loop's thread."""

    def __init__(
        self,
        broker: Broker,
        mail: Mail,
        *,
        on_ready: Callable[[], None],
        on_message: Callable[[str, bytes], None],
        log: Any,
        jitter: Callable[[], float],
    ) -> None:
        self.ready = False
        self.connections = 0
        self.trouble = "not connected yet"
        self._broker = broker
        self._mail = mail
        self._on_ready = on_ready
        self._on_message = on_message
        self._log = log
        self._jitter = jitter
        self._version = 0
        self._client: mqtt.Client | None = None
        self._delay_s = BACKOFF_MIN_S

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand a message to the broker with QoS 1; False if that is not possible now."""
        client = self._client
        if client is None or not self.ready:
            return False
        return client.publish(topic, payload, qos=1, retain=retain).rc is MQTTErrorCode.MQTT_ERR_SUCCESS

    async def run(self) -> None:
        """Connect, stay until the connection ends, connect again."""
        while True:
            connection = _Connection(self._broker, self._mail, _VERSIONS[self._version], asyncio.get_running_loop())
            try:
                await self._live(connection)
            finally:
                self.ready, self._client = False, None
                await connection.close()
            if connection.reached and not connection.accepted and not connection.refused:
                self._version = 1 - self._version  # an older broker may hang up on what it does not know
            self._log.warning("link_lost", reason=self.trouble)
            await asyncio.sleep(self._delay_s * (0.5 + self._jitter()))
            self._delay_s = REFUSED_S if connection.refused else min(self._delay_s * 2, BACKOFF_MAX_S)

    async def _live(self, connection: _Connection) -> None:
        connection.start()
        while True:
            timeout_s = None if self.ready else CONNECT_TIMEOUT_S
            try:
                async with asyncio.timeout(timeout_s):
                    what, *rest = await connection.events.get()
            except TimeoutError:
                self.trouble = f"no answer from {self._broker.host}:{self._broker.port}"
                return
            if what == "message":
                self._on_message(*rest)
            elif what == "ready":
                self._client, self.ready, self.trouble = connection.client, True, ""
                self.connections += 1
                self._delay_s = BACKOFF_MIN_S
                self._log.info("link_ready", broker=self._broker.host, mqtt=connection.version)
                self._on_ready()
            elif what == "gone":
                self.trouble = rest[0]
                return

    async def farewell(self, payload: bytes) -> None:
        """Say goodbye: a last state, then an orderly end, after which the broker does not publish our will."""
        client = self._client
        if client is None or not self.ready:
            return
        self.ready = False
        info = client.publish(self._mail.will_topic, payload, qos=1, retain=True)
        with suppress(ValueError, RuntimeError):  # the connection ended just now
            await asyncio.to_thread(info.wait_for_publish, FAREWELL_S)
        client.disconnect()


class _Connection:
    """One paho client and its thread, from connecting to the end; what happens goes into `events`."""

    def __init__(
        self, broker: Broker, mail: Mail, version: MQTTProtocolVersion, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.events: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self.reached = self.accepted = self.refused = False
        self.version = "5" if version is MQTTProtocolVersion.MQTTv5 else "3.1.1"
        self._loop = loop
        self._broker = broker
        self._mail = mail
        self._unsubscribed = len(mail.subscriptions)
        self.client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2, broker.client_id(mail.name), protocol=version, reconnect_on_failure=False
        )
        client.username_pw_set(broker.username, broker.password)
        client.max_queued_messages_set(QUEUE_MAX)
        client.will_set(mail.will_topic, mail.will(), qos=1, retain=True)
        if broker.tls:
            client.tls_set_context(ssl.create_default_context(cadata=broker.ca_pem or None))
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    def start(self) -> None:
        self.client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S)
        self.client.loop_start()

    async def close(self) -> None:
        """End in order, and if the network does not let us, without."""
        self.client.disconnect()
        stop = asyncio.ensure_future(asyncio.to_thread(self.client.loop_stop))
        await asyncio.wait({stop}, timeout=FAREWELL_S)
        stuck = self.client.socket()
        if not stop.done() and isinstance(stuck, socket.socket):  # ssl's are, too
            with suppress(OSError):
                stuck.shutdown(socket.SHUT_RDWR)
        await stop

    # ------------------------------------------------------------------------------------ in paho's thread
    def _tell(self, *event: Any) -> None:
        self._loop.call_soon_threadsafe(self.events.put_nowait, event)

    def _on_socket_open(self, _client: mqtt.Client, _data: object, _socket: object) -> None:
        self.reached = True

    def _on_connect(self, client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _more: object) -> None:
        if code.is_failure:
            self.refused = str(code) in _REFUSED
            self._tell("gone", f"the broker refused us: {code}")
            return
        self.accepted = True
        client.subscribe([(topic, 1) for topic in self._mail.subscriptions])

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, codes: list[ReasonCode], _more: object
    ) -> None:
        if any(code.is_failure for code in codes):
            self.refused = True
            self._tell("gone", "the broker does not let us read our own topics")
        else:
            self._tell("ready")

    def _on_connect_fail(self, _client: mqtt.Client, _data: object) -> None:
        tls = ", or its certificate is not the one of our enrolment" if self._broker.tls else ""
        self._tell("gone", f"nobody answers at {self._broker.host}:{self._broker.port}{tls}")

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _more: object
    ) -> None:
        self._tell("gone", f"the connection ended: {code}")

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self._tell("message", message.topic, message.payload)
