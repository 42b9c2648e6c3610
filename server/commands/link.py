"""The web process's line to the gateways: their states and answers come in, signed commands go out.

Paho's thread only puts messages into a bounded queue; one worker thread does the work, so that a slow database
never stops the keep-alive. A state that finds the queue full is dropped and counted: the next one comes anyway.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from prometheus_client import Counter

from server import mqtt
from wire import topics
from wire.command import MAX_BYTES
from wire.signing import SIGNATURE_LEN

# A thousand gateways reconnecting after a restart of the broker tell their states at once.
QUEUE_MAX: Final = 5_000
# No state and no answer is larger; a queue full of what brokers take would be gigabytes.
PAYLOAD_MAX: Final = MAX_BYTES + SIGNATURE_LEN
_STOP: Final = ("", b"")
Take = Callable[[str, bytes], None]
DROPPED: Final = Counter("hearsight_commands_dropped_total", "Messages of gateways dropped, by reason", ["reason"])
for _reason in ("oversized", "queue_full", "broken"):
    DROPPED.labels(_reason)


class Link:
    """Owns the connection of the web process to the broker."""

    def __init__(self, url: str, client_id: str, *, log: Callable[..., Any], ca_file: Path | None = None) -> None:
        self._url, self._log = url, log
        self._take: dict[str, Take] = {}
        self._inbox: queue.Queue[tuple[str, bytes]] = queue.Queue(QUEUE_MAX)
        self._worker = threading.Thread(target=self._work, name="commands", daemon=True)
        self._client = client = mqtt.new_client(url, client_id, ca_file=ca_file)
        client.on_connect = self._on_connect
        client.on_message = self._on_message

    @property
    def connected(self) -> bool:
        return self._client.is_connected()

    def start(self, *, on_state: Take, on_answer: Take) -> None:
        """Connect in the background, for ever; both are called in the worker's thread with gateway and payload."""
        self._take = {"state": on_state, "answer": on_answer}
        self._worker.start()
        self._client.connect_async(*mqtt.address(self._url), keepalive=mqtt.KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._inbox.put(_STOP)
        self._worker.join(timeout=5)

    def send(self, gateway: str, payload: bytes) -> bool:
        """Hand a signed command to the broker; False if there is no connection now."""
        sent = self._client.publish(topics.command(gateway), payload, qos=1)
        return self.connected and sent.rc is MQTTErrorCode.MQTT_ERR_SUCCESS

    def _on_connect(self, client: paho.Client, _data: object, _flags: object, code: Any, _more: object) -> None:
        if code.is_failure:
            self._log("commands_refused", reason=str(code))
            return
        client.subscribe([(topics.ALL_STATES, 1), (topics.ALL_ANSWERS, 1)])

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if len(message.payload) > PAYLOAD_MAX:
            DROPPED.labels("oversized").inc()
            return
        try:
            self._inbox.put_nowait((message.topic, bytes(message.payload)))
        except queue.Full:
            DROPPED.labels("queue_full").inc()

    def _work(self) -> None:
        while (item := self._inbox.get()) != _STOP:
            topic, payload = item
            try:
                self._take[topic.rpartition("/")[2]](topics.gateway_of(topic), payload)
            except Exception as error:
                # One message must not end the line to all gateways; what it was is told, then the next one.
                DROPPED.labels("broken").inc()
                self._log("commands_broken", topic=topic, error=repr(error))
