"""A simulated broker and the bad network around it: QoS 1 as the specification lets it be, not as a good day has it.

Messages are lost, delayed, repeated and overtaken; a connection ends without a word; a lasting session keeps a queue
and delivers again, under new numbers, what was not acknowledged; a restart may forget all of it. A clean session
forgets with its connection. A shared subscription gives each message to one of its members.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, Protocol

from tests.world.timeline import Timeline
from wire import topics


class Message(NamedTuple):
    topic: str
    payload: bytes


@dataclass
class Weather:
    """How bad the network is: shares of messages, and the longest delay."""

    loss: float = 0.0
    twice: float = 0.0
    delay_ms: int = 20

    def fair(self) -> None:
        self.loss = self.twice = 0.0
        self.delay_ms = 20


class Listener(Protocol):
    """A gateway: its session is clean, and messages come to it at most once per sending."""

    name: str

    def connected(self) -> None: ...
    def try_again(self) -> None: ...
    def cut(self, *, noticed_now: bool = True) -> None: ...
    def receive(self, topic: str, payload: bytes) -> None: ...


class Consumer(Protocol):
    """An ingest worker's connection."""

    name: str

    def deliver(self, message: Message, mid: int, connection: int) -> None: ...
    def cut(self) -> None: ...


@dataclass
class Session:
    """What the broker keeps of one worker, connected or not."""

    consumer: Consumer | None = None
    connection: int = 0
    queue: deque[Message] = field(default_factory=deque)
    unacknowledged: dict[int, Message] = field(default_factory=dict)
    mid: int = 0


class Broker:
    """The one broker of a world."""

    def __init__(self, line: Timeline, weather: Weather, *, receive_max: int, queue_max: int, hands_over: bool) -> None:
        self._line, self._weather = line, weather
        self._dice: Random = line.dice("network")
        self._receive_max, self._queue_max, self._hands_over = receive_max, queue_max, hands_over
        self.up = True
        self.dropped = 0
        self._gateways: dict[str, Listener] = {}
        self._parted: set[str] = set()
        self._sessions: dict[str, Session] = {}

    @property
    def waiting(self) -> int:
        """Messages that a worker has yet to acknowledge."""
        return sum(len(session.queue) + len(session.unacknowledged) for session in self._sessions.values())

    def _carry(self, do: Callable[..., None], *arguments: object, reliable: bool = False) -> None:
        """Over the network: perhaps not at all, perhaps twice, each time after a delay of its own."""
        if not reliable and self._dice.random() < self._weather.loss:
            return
        for _ in range(2 if self._dice.random() < self._weather.twice else 1):
            self._line.after(self._dice.randint(1, self._weather.delay_ms), do, *arguments)

    # ------------------------------------------------------------------------------------ gateways
    def connect(self, gateway: Listener) -> None:
        if not self.up or gateway.name in self._parted:
            gateway.try_again()
            return
        self._gateways[gateway.name] = gateway
        gateway.connected()

    def leave(self, gateway: Listener) -> None:
        self._gateways.pop(gateway.name, None)

    def publish(self, gateway: Listener, topic: str, payload: bytes) -> None:
        if gateway.name not in self._parted:
            self._carry(self._take, Message(topic, payload))

    def part(self, name: str) -> None:
        """The network between a gateway and us swallows everything; both notice late."""
        self._line.tell("network", f"parts {name}")
        self._parted.add(name)
        if (gateway := self._gateways.pop(name, None)) is not None:
            gateway.cut(noticed_now=False)

    def join(self, name: str) -> None:
        self._line.tell("network", f"joins {name}")
        self._parted.discard(name)

    def cut_gateway(self, name: str) -> None:
        if (gateway := self._gateways.pop(name, None)) is not None:
            gateway.cut()

    # ------------------------------------------------------------------------------------ the queue
    def _take(self, message: Message) -> None:
        """A message reached us. From here on the publisher has its PUBACK, whatever becomes of us."""
        if not self.up:
            return
        if not message.topic.endswith("/batch"):
            self._send_receipt(message)
            return
        if not self._sessions:
            return  # nobody subscribed yet: the broker has no use for it
        there = [session for session in self._sessions.values() if session.consumer is not None]
        session = self._dice.choice(there or list(self._sessions.values()))
        if len(session.queue) >= self._queue_max:
            self.dropped += 1
            return
        session.queue.append(message)
        self._pump(session)

    def _pump(self, session: Session) -> None:
        while session.consumer is not None and session.queue and len(session.unacknowledged) < self._receive_max:
            message = session.queue.popleft()
            session.mid = session.mid % 65_535 + 1
            session.unacknowledged[session.mid] = message
            self._carry(self._deliver, session, message, session.mid, session.connection, reliable=True)

    def _deliver(self, session: Session, message: Message, mid: int, connection: int) -> None:
        if session.consumer is not None and session.connection == connection:
            session.consumer.deliver(message, mid, connection)

    # ------------------------------------------------------------------------------------ workers
    def subscribe(self, consumer: Consumer, connection: int) -> bool:
        """A worker connects; what it had not acknowledged comes again, the oldest first. False: nobody is there."""
        if not self.up:
            return False
        session = self._sessions.setdefault(consumer.name, Session())
        session.consumer, session.connection = consumer, connection
        session.queue.extendleft(reversed(session.unacknowledged.values()))
        session.unacknowledged.clear()
        session.mid = 0  # its first number may by now be another message's
        self._pump(session)
        return True

    def unsubscribe(self, name: str) -> None:
        """A worker's connection ended. Some brokers give its share to the other members, some keep it for it."""
        session = self._sessions.get(name)
        if session is None or session.consumer is None:
            return
        session.consumer = None
        others = [other for other in self._sessions.values() if other.consumer is not None]
        if self._hands_over and others:
            held = [*session.unacknowledged.values(), *session.queue]
            session.unacknowledged.clear()
            session.queue.clear()
            for message in held:
                self._dice.choice(others).queue.append(message)
            for other in others:
                self._pump(other)

    def cut_worker(self, name: str) -> None:
        """The connection is gone; the process lives."""
        session = self._sessions.get(name)
        if session is not None and session.consumer is not None:
            self._line.tell("network", f"cuts {name}")
            consumer = session.consumer
            self.unsubscribe(name)
            consumer.cut()

    def acknowledge(self, name: str, mid: int) -> None:
        session = self._sessions.get(name)
        if session is not None and session.consumer is not None:
            session.unacknowledged.pop(mid, None)
            self._pump(session)

    def _send_receipt(self, message: Message) -> None:
        gateway = self._gateways.get(topics.gateway_of(message.topic))
        if gateway is not None:
            self._carry(self._hand, gateway, message)

    def _hand(self, gateway: Listener, message: Message) -> None:
        if self._gateways.get(gateway.name) is gateway:
            gateway.receive(message.topic, message.payload)

    def answer(self, message: Message) -> None:
        """A worker publishes a receipt, or a stranger publishes something that looks like one."""
        if self.up:
            self._carry(self._take, message)

    def inject(self, topic: str, payload: bytes) -> None:
        """A stranger publishes."""
        self._line.tell("stranger", f"publishes {len(payload)} bytes to {topic}")
        self._take(Message(topic, payload))

    # ------------------------------------------------------------------------------------ the broker itself
    def stop(self, *, forgets: bool) -> None:
        """It goes down; `forgets`: without what it held, acknowledged to its publishers long ago."""
        if not self.up:
            return
        self._line.tell("broker", f"goes down with {self.waiting} waiting, forgets {forgets}")
        self.up = False
        for name in sorted(self._gateways):
            self.cut_gateway(name)
        for name in sorted(self._sessions):
            self.cut_worker(name)
        if forgets:
            self._sessions.clear()

    def start(self) -> None:
        if not self.up:
            self.up = True
            self._line.tell("broker", "is back")
