"""MQTT in and acknowledgements out: one thread owns the connection, and nobody else touches it.

A delivery is acknowledged only when the worker says so, after its commit, and only on the connection on which it
came: after a reconnect the broker delivers it again, and its old number may by then be another message's.
The session lasts (clean start false), so what is published while we are away waits at the broker.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from server import mqtt
from server.ingest import metrics
from server.ingest.inbox import WAITING_MAX, Delivery, Inbox
from server.ingest.line import Line
from server.ingest.receipts import Message

# Gateways keep their batches until the receipt, so a session that ends loses nothing; it only saves sending twice.
SESSION_S: Final = 24 * 3600
RETRY_MIN_S: Final = 0.2
RETRY_MAX_S: Final = 5.0
# The pause has reached its greatest length by then; doubled for hours, it is a number that no float holds.
_DOUBLED_MAX: Final = 10
# Every third time in a row that a broker is there and does not take us we speak MQTT 3.1.1, in case it knows nothing
# newer. One that was only away must not be met with that: for as long as the connection lasts it would know no Receive
# Maximum.
_OLD_PROTOCOL_EVERY: Final = 3
_RECEIPTS_UNDER_WAY: Final = 500
_RECEIPTS_QUEUED: Final = 10_000


class Drain:
    """The connection. `run` is its thread; `answer` and the two stops may be called from any other."""

    def __init__(
        self,
        url: str,
        client_id: str,
        subscription: str,
        inbox: Inbox,
        *,
        monotonic: Callable[[], float],
        log: Any,
        ca_file: Path | None = None,
    ) -> None:
        self._url, self._ca_file, self._inbox = url, ca_file, inbox
        self._client_id, self._subscription = client_id, subscription
        self._monotonic, self._log = monotonic, log
        self._answers: deque[tuple[Sequence[Delivery], Sequence[Message]]] = deque()
        self._wake_out, self._wake_in = socket.socketpair()
        for end in (self._wake_out, self._wake_in):
            end.setblocking(False)
        self._client: mqtt.Client | None = None
        self._connection = 0  # counts connections; a delivery carries the number of its own
        self._unconfirmed = 0  # receipts of this connection that the broker has not confirmed
        self._accepted = False
        self.subscribed = threading.Event()
        """Set while batches come to us."""
        self._away_since_s: float | None = monotonic()
        self._turned_s = monotonic()
        self._taking = True
        self._ended = False

    @property
    def away_s(self) -> float:
        """How long there has been no connection; 0 while there is one."""
        since_s = self._away_since_s
        return 0.0 if since_s is None else self._monotonic() - since_s

    @property
    def stuck_s(self) -> float:
        """How long its thread has not come round; a second while nothing happens, a pause while there is no broker."""
        return self._monotonic() - self._turned_s

    def answer(self, deliveries: Sequence[Delivery], messages: Sequence[Message]) -> None:
        """After the commit: send these and acknowledge these, soon."""
        self._answers.append((deliveries, messages))
        self._wake()

    def stop_taking(self) -> None:
        """Read no more batches; answers still go out."""
        self._taking = False
        self._wake()

    def stop(self) -> None:
        """Send the answers that wait, then disconnect and end `run`."""
        self._taking = False
        self._ended = True
        self._wake()

    def run(self) -> None:
        """Connects again and again until it is stopped."""
        failures = turned_away = 0
        while not self._ended:
            self._turned_s = self._monotonic()
            self._accepted = False
            self._begin(version5=turned_away % _OLD_PROTOCOL_EVERY != _OLD_PROTOCOL_EVERY - 1)
            if self._client is not None:
                self._serve(self._client)
                turned_away = 0 if self._accepted else turned_away + 1
            self._client = None
            self._connection += 1
            self._note_away()
            failures = 0 if self._accepted else failures + 1
            if not self._ended:
                self._pause(min(RETRY_MAX_S, RETRY_MIN_S * 2 ** min(failures, _DOUBLED_MAX)))

    def _note_away(self) -> None:
        """What the broker did not confirm is forgotten with the client; the gateways ask again."""
        self.subscribed.clear()
        metrics.CONNECTED.set(0)
        if self._away_since_s is None:
            self._away_since_s = self._monotonic()
        metrics.RECEIPTS_LOST.labels("connection").inc(self._unconfirmed)
        self._unconfirmed = 0

    # --- one connection

    def _begin(self, *, version5: bool) -> None:
        client = mqtt.new_client(
            self._url, self._client_id, ca_file=self._ca_file, version5=version5,
            wrap=lambda sock: Line(sock, version5=version5),
        )  # fmt: skip
        client.max_inflight_messages_set(_RECEIPTS_UNDER_WAY)
        client.max_queued_messages_set(_RECEIPTS_QUEUED)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        try:
            mqtt.connect_lasting(client, self._url, receive_max=WAITING_MAX, session_s=SESSION_S)
        except OSError as error:
            metrics.CONNECTIONS.labels("unreachable").inc()
            self._log.warning("broker_unreachable", error=str(error))
        else:
            self._client = client

    def _serve(self, client: mqtt.Client) -> None:
        """Reads, acknowledges and keeps the connection alive until it ends."""
        while (line := client.socket()) is not None:
            assert isinstance(line, Line)
            self._wait(client, line)
            if self._may_read(line):
                self._read(line)
            while line.for_paho and client.socket() is not None:
                client.loop_read()
            self._send_answers(client, line)
            if self._ended and self._accepted and not client.want_write() and not line.unsent:
                client.disconnect()
            if self._ended and not self._accepted:
                return
            client.loop_misc()
        if not self._ended:
            metrics.CONNECTIONS.labels("lost" if self._accepted else "not_accepted").inc()
            self._log.warning("broker_connection_lost", accepted=self._accepted)

    def _wait(self, client: mqtt.Client, line: Line) -> None:
        """Until there is something to read, to write or to answer, or a second has gone."""
        self._turned_s = self._monotonic()
        reads, writes = self._may_read(line), client.want_write() or line.unsent
        held = reads and self._inbox.room > 0 and line.whole
        readers: list[Any] = [self._wake_out, line] if reads else [self._wake_out]
        with contextlib.suppress(ValueError, OSError):  # closed meanwhile: the loop sees it next
            select.select(readers, [line] if writes else [], [], 0 if held else 1.0)
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(4096)
        if writes:
            client.loop_write()
            line.flush()

    def _may_read(self, line: Line) -> bool:
        """Before the broker accepted us there is its answer to read, afterwards as much as there is room for. With a
        full inbox one buffer more is read: a broker that keeps to the Receive Maximum sends nothing but signs of life.
        """
        return not self._accepted or (self._taking and (self._inbox.room > 0 or not line.laden))

    def _read(self, line: Line) -> None:
        line.fill()
        taken, now_s = line.take(self._inbox.room), self._monotonic()
        if taken:
            self._inbox.put(
                *(Delivery(_text(each.topic), each.payload, each.mid, self._connection, now_s) for each in taken)
            )

    def _send_answers(self, client: mqtt.Client, line: Line) -> None:
        """A batch is acknowledged after its receipt was written (or waits, behind 500 unconfirmed ones): whatever ends
        the connection between the two, or us, the broker delivers the batch again, and its gateway need not ask.
        """
        while self._accepted and self._answers:
            deliveries, messages = self._answers.popleft()
            for message in messages:
                sent = client.publish(message.topic, message.payload, qos=1)
                metrics.RECEIPTS.inc()
                if sent.rc == mqtt.ErrorCode.MQTT_ERR_QUEUE_SIZE:
                    metrics.RECEIPTS_LOST.labels("queue_full").inc()
                else:
                    self._unconfirmed += 1
            ours = [each.mid for each in deliveries if each.connection == self._connection]
            metrics.LATE_ACKS.inc(len(deliveries) - len(ours))
            line.acknowledge(mid for mid in ours if mid)  # without a number it was sent at QoS 0 and wants none

    def _on_publish(self, _client: mqtt.Client, _data: Any, _mid: int, _reason: Any, _properties: Any) -> None:
        self._unconfirmed -= 1

    def _on_connect(self, client: mqtt.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            metrics.CONNECTIONS.labels("refused").inc()
            self._log.error("broker_refused", reason=str(reason))
            return
        self._accepted = True
        metrics.CONNECTIONS.labels("made").inc()
        client.subscribe(self._subscription, qos=1)
        self._log.info("broker_connected", session_present=flags.session_present, protocol=client.protocol.name)

    def _on_subscribe(self, client: mqtt.Client, _data: Any, _mid: int, answers: Any, _properties: Any) -> None:
        """Less than QoS 1 is no promise to deliver again what we did not acknowledge: the connection is tried again."""
        if all(answer.value == 1 for answer in answers):
            self.subscribed.set()
            self._log.info("broker_subscribed")
            metrics.CONNECTED.set(1)
            self._away_since_s = None
            return
        self._accepted = False
        metrics.CONNECTIONS.labels("subscription_refused").inc()
        self._log.error(
            "subscription_refused", reason=", ".join(map(str, answers)),
            do="The broker's access list must let the server read this (deploy/mosquitto.acl).",
        )  # fmt: skip
        client.disconnect()

    # --- waiting

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_in.send(b"!")

    def _pause(self, seconds: float) -> None:
        """Back off, but be there at once when stopped."""
        until = self._monotonic() + seconds
        while not self._ended and (left := until - self._monotonic()) > 0:
            select.select([self._wake_out], [], [], left)
            with contextlib.suppress(BlockingIOError):
                self._wake_out.recv(4096)


def _text(topic: bytes) -> str:
    """Not UTF-8: none of ours; counted as such."""
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return ""
