"""Ingest workers on virtual time: the real `server.ingest.worker.Worker` on the real database, one coroutine each.

A worker is a greenlet, not a thread: at every SQL statement, at the commit and while it waits between two tries it may
hand over to the timeline. There it can be killed, its database can fail, another worker can overtake it, or minutes
can pass; and the same seed does it again to the letter.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, Final

from greenlet import getcurrent, greenlet
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from server.ingest.inbox import Delivery
from server.ingest.keyring import Keyring, Keys
from server.ingest.limits import Rate
from server.ingest.receipts import Message as Receipt
from server.ingest.telling import told
from server.ingest.worker import Worker
from server.store.db import transaction
from tests.world.broker import Broker, Message
from tests.world.house import House, operational_error
from tests.world.timeline import Timeline
from wire import topics
from wire.batch import decode_batch
from wire.receipt import decode_receipt
from wire.signing import SIGNATURE_LEN

# Longer than any story: only a clock without a battery is before that.
RETENTION: Final = timedelta(days=400)
RATE: Final = Rate(batches_per_s=200, bytes_per_s=4 * 1024 * 1024)  # as the server has it unless it is set
# An idle worker looks after its keys twice a second; nudged when they change, it need not here.
_IDLE_MS: Final = 6 * 3_600_000


class Killed(BaseException):
    """kill -9, at this point of the program."""


class BrokenPromise(BaseException):
    """A worker answered for something that is not committed. No `except Exception` of its own may swallow it."""


@dataclass
class Doom:
    """What will happen to a worker at its n-th step from now. `step` None: at whatever step it then is."""

    steps: int
    what: str  # kill, error, cut, unknown
    only: str | None = None  # sql, commit, answer, send


@dataclass(frozen=True, slots=True)
class Habits:
    """How the workers of one world are: the share of steps at which they hand over and for how long at most, the size
    of a set, and how long an idle one waits for more after the first delivery.
    """

    lull: float
    lull_ms: int
    set_max: int
    linger_ms: int


class Silent:
    """A log that says nothing to nobody, but counts its words."""

    def __init__(self) -> None:
        self.words: Counter[str] = Counter()

    def __getattr__(self, _level: str) -> Any:
        return self._take

    def _take(self, word: str, **_: object) -> None:
        self.words[word] += 1


class SimWorker:
    """One worker process, started and killed many times."""

    def __init__(
        self,
        no: int,
        line: Timeline,
        house: House,
        broker: Broker,
        habits: Habits,
    ) -> None:
        self.name = f"worker-{no}"
        self._habits, self._linger_ms = habits, habits.linger_ms
        self._line, self._house, self._broker = line, house, broker
        self._dice: Random = line.dice(self.name)
        self._inbox: deque[Delivery] = deque()
        self._answers: deque[tuple[Sequence[Delivery], Sequence[Receipt]]] = deque()
        self._connection = 0
        self._connected = False
        self._task: greenlet | None = None
        self._ended = False
        self._life = self._turn = 0
        self._asleep = False
        self.dooms: list[Doom] = []
        self.log = Silent()
        self.deaths: Counter[str] = Counter()

    @property
    def up(self) -> bool:
        return self._task is not None

    @property
    def idle(self) -> bool:
        return not self._inbox and not self._answers and self._asleep

    @property
    def inside(self) -> bool:
        """Whether the worker's own code is running just now."""
        return self._task is not None and getcurrent() is self._task

    def _monotonic(self) -> float:
        return self._line.now_ms / 1000

    # ------------------------------------------------------------------------------------ life
    def start(self) -> None:
        if self.up:
            return
        self._life += 1
        self._task = greenlet(self._live)
        self._line.tell(self.name, "starts")
        self._line.after(1, self._resume, self._turn)

    def kill(self, why: str) -> None:
        """At a moment of our choosing, not of its own: from outside."""
        task = self._task
        if task:  # it has begun, and not ended
            assert not self.inside
            task.throw(Killed(why))

    def end(self) -> None:
        """The world is over."""
        self._ended = True
        self.kill("the world ends")
        self._task = None

    def _live(self) -> None:
        try:
            self._work()
        except Killed as killed:
            self.deaths[str(killed)] += 1
            self._line.tell(self.name, f"is killed: {killed}")
        finally:
            self._task = None
            self._asleep = False
            self._life += 1
            self._turn += 1
            self._inbox.clear()
            self._answers.clear()
            self._hang_up()
            if not self._ended:
                self._line.after(self._dice.randint(200, 90_000), self.start)

    def _work(self) -> None:
        keys = self._house.keys(lambda: self._line.now)
        ring = self._load(keys)
        worker = Worker(
            self._house.engine, keys, ring, self._answer, [told("http://world.test")],
            clock=lambda: self._line.now, monotonic=self._monotonic, wait=self._wait,
            rate=RATE, retention=RETENTION, log=self.log,
        )  # fmt: skip
        self._connect(self._life)
        while True:
            if not self._inbox:
                self._asleep = True
                self._sleep(_IDLE_MS)
                self._asleep = False
            taken = [self._inbox.popleft() for _ in range(min(self._habits.set_max, len(self._inbox)))]
            ready = worker.make_ready(taken)
            if not ready.empty:
                self.step("ready")
                worker.store_and_answer(ready)

    def _load(self, keys: Keys) -> Keyring:
        """The keys, as soon as the database gives them."""
        while True:
            try:
                with transaction(self._house.engine) as tx:
                    return keys.load(tx)
            except SQLAlchemyError:
                self._sleep(1_000)

    # ------------------------------------------------------------------------------------ turns
    def _resume(self, turn: int) -> None:
        if turn == self._turn and self._task is not None:
            self._turn += 1
            self._task.switch()

    def _sleep(self, ms: float) -> None:
        """Hand over to the timeline for so long."""
        assert self.inside
        self._line.after(max(1, ms), self._resume, self._turn)
        hub = getcurrent().parent
        assert hub is not None
        hub.switch()

    def _wait(self, pause_s: float) -> bool:
        self._line.tell(self.name, f"tries again in {pause_s} s: {dict(sorted(self.log.words.items()))}")
        self._sleep(pause_s * 1000)
        return False

    def step(self, kind: str, tx: Connection | None = None) -> None:
        """One place at which something may happen to it."""
        for doom in self.dooms:
            if doom.only in (None, kind):
                doom.steps -= 1
        due = next((doom for doom in self.dooms if doom.steps <= 0), None)
        if due is not None:
            self.dooms.remove(due)
            self._meet(due, kind, tx)
        if self._dice.random() < self._habits.lull:
            self._sleep(self._dice.randint(1, self._habits.lull_ms))

    def _meet(self, doom: Doom, kind: str, tx: Connection | None) -> None:
        self._line.tell(self.name, f"{doom.what} at {kind}")
        if doom.what == "kill" or tx is None:
            raise Killed(kind)
        if doom.what == "error":
            raise operational_error("no space left on device")
        if doom.what == "cut":
            self._house.kill_backend(tx)
        elif kind == "commit":  # the commit was done; that it was, never came back
            driver = tx.connection.driver_connection
            assert driver is not None
            driver.commit()
            raise operational_error("server closed the connection unexpectedly")

    # ------------------------------------------------------------------------------------ answers
    def _answer(self, deliveries: Sequence[Delivery], receipts: Sequence[Receipt]) -> None:
        self._check(deliveries, receipts)
        self.step("answer")
        told = [decode_receipt(receipt.payload[SIGNATURE_LEN:]) for receipt in receipts]
        outcomes = [f"{each.gateway}{[(o.sequence, o.kind.name, o.reason) for o in each.outcomes]}" for each in told]
        self._line.tell(self.name, f"answers {len(deliveries)}: {' '.join(outcomes)}")
        self._answers.append((deliveries, receipts))
        self._line.after(self._dice.randint(0, 300), self._send, self._life)

    def _send(self, life: int) -> None:
        """What the connection's own thread does: acknowledge, if it is still the connection they came on, and tell."""
        if life != self._life or not self._connected or not self._answers:
            return
        deliveries, receipts = self._answers.popleft()
        for number, delivery in enumerate(deliveries):
            if delivery.connection == self._connection:
                self._broker.acknowledge(self.name, delivery.mid)
            if number == 0 and self._doomed("send"):
                self._line.tell(self.name, "kill at send")
                self.kill("send")
                return
        for receipt in receipts:
            self._broker.answer(Message(receipt.topic, receipt.payload))

    def _doomed(self, kind: str) -> bool:
        due = next((doom for doom in self.dooms if doom.only == kind), None)
        if due is not None:
            self.dooms.remove(due)
        return due is not None

    def _check(self, deliveries: Sequence[Delivery], receipts: Sequence[Receipt]) -> None:
        """What is answered must be there for everybody to see, and nothing is settled across a gap."""
        told = [decode_receipt(receipt.payload[SIGNATURE_LEN:]) for receipt in receipts]
        outcomes = [
            (self._house.numbers[each.gateway], each.outbox_id, outcome.sequence)
            for each in told
            for outcome in each.outcomes
        ]
        missing = set(outcomes) - self._house.committed(outcomes)
        if missing:
            raise BrokenPromise(f"{self.name} answers before the commit: {len(missing)} batches are not in the ledger")
        for each in told:
            unbroken = self._house.unbroken(each.gateway, each.outbox_id)
            if each.settled_up_to > unbroken:
                raise BrokenPromise(
                    f"{self.name} settles {each.gateway} up to {each.settled_up_to}, beyond a gap at {unbroken + 1}"
                )
        ours = {(each.gateway, each.outbox_id, outcome.sequence) for each in told for outcome in each.outcomes}
        for delivery in deliveries:
            try:
                gateway = topics.gateway_of(delivery.topic)
                batch = decode_batch(delivery.payload[SIGNATURE_LEN:])
            except Exception:
                continue
            if delivery.payload in self._house.forged:
                continue
            if batch.gateway == gateway and (gateway, batch.outbox_id, batch.sequence) not in ours:
                raise BrokenPromise(f"{self.name} acknowledges {gateway} {batch.sequence} without an answer for it")

    # ------------------------------------------------------------------------------------ connection
    def _connect(self, life: int) -> None:
        if life != self._life or self._connected:
            return
        self._connection += 1
        self._connected = True
        if not self._broker.subscribe(self, self._connection):
            self._connected = False
            self._line.after(self._dice.randint(200, 5_000), self._connect, life)
        elif self._answers:  # what waited for a connection goes out first
            for _ in self._answers:
                self._line.after(1, self._send, self._life)

    def _hang_up(self) -> None:
        if self._connected:
            self._connected = False
            self._broker.unsubscribe(self.name)

    def cut(self) -> None:
        """The connection ended; acknowledgements of it are dropped, receipts go out over the next."""
        self._connected = False
        self._line.after(self._dice.randint(200, 5_000), self._connect, self._life)

    def deliver(self, message: Message, mid: int, connection: int) -> None:
        if not self.up or connection != self._connection:
            return
        self._inbox.append(Delivery(message.topic, message.payload, mid, connection, self._monotonic()))
        self.nudge(self._linger_ms)

    def hurry(self) -> None:
        """From now on no set waits for others."""
        self._linger_ms = 100
        self.nudge(1)

    def nudge(self, after_ms: int) -> None:
        """There may be something to do."""
        if self._asleep:
            self._line.after(after_ms, self._resume, self._turn)
