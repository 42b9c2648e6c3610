"""The running gateway: radio → collector → outbox → link, and the receipts back. Everything meets here.

    scan ─▶ collector ─window─▶ outbox (disk thread) ─due─▶ link ─▶ broker
                                   ▲                                  │
                                   └────────── receipt ◀──────────────┘

The event loop never waits for the disk: one thread does all that SQLite does. What is lost in a kill is the window that
was still open, and the next run tells so.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.carrier import Carrier
from gateway.carry import Dialogue
from gateway.clock import Judgement, WallClock
from gateway.collector import Collector, Window
from gateway.config import Settings
from gateway.courier import Courier
from gateway.edges import Edges
from gateway.enrolled import Enrolment
from gateway.errors import Refusal
from gateway.finding import Finding
from gateway.health import STATE_EVERY_S, Health, metrics_text, save_status
from gateway.link import Broker, Link, Mail
from gateway.outbox import Outbox, OutboxFullError, Owner
from gateway.place import Places
from gateway.reach import Reach
from gateway.scan import Radio
from gateway.supervise import Supervisor
from wire import topics
from wire.batch import Clock
from wire.errors import WireError
from wire.signing import public_key
from wire.state import GatewayState, encode_state

OUTBOX_FILE: Final = "outbox.sqlite"
# How often a window is looked at, and whether something needs to be published again.
LOOK_S: Final = 0.5
AGAIN_LOOK_S: Final = 2.0
# States follow one another no faster than this, whatever changes.
STATE_GAP_S: Final = 1.0
# A batch may be older than the last one by a little after an ordinary correction of the clock.
BACKWARD_MAX_MS: Final = 5 * 60 * 1000
# Commands waiting to be obeyed; each takes seconds, and the server sends one at a time.
COMMANDS_MAX: Final = 16
# Receipts waiting for the disk: many times what is in flight.
RECEIPTS_MAX: Final = 1_000

T = TypeVar("T")


class Gateway:
    """One enrolled gateway. `run` returns when `stop` is set, after an orderly end."""

    def __init__(
        self, settings: Settings, enrolment: Enrolment, key: Ed25519PrivateKey, edges: Edges, software: str
    ) -> None:
        self._settings, self._enrolment, self._edges, self._software = settings, enrolment, edges, software
        self._log = edges.log
        self._name = enrolment.gateway
        server_key = public_key(enrolment.server_public_key)
        owner = Owner(self._name, key, server_key, edges.fresh_id)
        self._outbox = Outbox(settings.data / OUTBOX_FILE, owner, limit_bytes=settings.outbox_max_bytes)
        self._disk = ThreadPoolExecutor(1, "outbox")
        self._clock = WallClock(edges.steady_ns, edges.wall_ms, settings.clock)
        self._judged: Judgement = self._clock.judge()
        self._places = Places(settings.data, enrolment.place)
        self._place = enrolment.place
        self._collector = Collector(
            network_id=enrolment.network_id,
            now_ns=edges.steady_ns(),
            window_s=settings.window_s,
            addresses_max=settings.addresses_max,
        )
        self._radio = Radio(self._collector, edges.steady_ns)
        self._supervisor = Supervisor(
            self._radio,
            now_s=edges.now_s,
            silence_s=settings.silence_s,
            log=self._log,
            changed=self._tell_state,
        )
        self._courier = Courier()
        self._mail = {
            topics.receipt(self._name): asyncio.Queue[bytes](RECEIPTS_MAX),
            topics.command(self._name): asyncio.Queue[bytes](COMMANDS_MAX),
        }
        self._dialogue = Dialogue(self._name, key, server_key)
        reach = Reach(self._radio, self._collector, self._supervisor, edges.steady_ns)
        self._finding = Finding(settings, enrolment, key, edges)
        self._carrier = Carrier(reach, allowed=settings.carry, log=self._log)
        broker = Broker.from_url(enrolment.mqtt_url, enrolment.mqtt_username, enrolment.mqtt_password, enrolment.ca_pem)
        self._link = Link(
            broker,
            Mail(f"hs-{self._name}", topics.state(self._name), self._last_will, tuple(self._mail)),
            on_ready=self._on_link,
            on_message=self._on_message,
            log=self._log,
            jitter=edges.jitter,
        )
        self._counts: Counter[str] = Counter()
        self._batches_made = self._sightings_made = 0
        self._receipt_at_s: float | None = None
        self._started_ms = edges.wall_ms()
        self._to_publish = asyncio.Event()
        self._state_changed = asyncio.Event()

    # ------------------------------------------------------------------------------------ life
    async def run(self, stop: asyncio.Event) -> None:
        self._place = self._look_where()
        if await self._on_disk(self._outbox.begin):
            self._log.warning("unclean_stop", lost_at_most_s=self._settings.window_s)
        self._dialogue.last_command = await self._on_disk(self._outbox.recall, "last_command") - 1
        self._dialogue.last_answer = await self._on_disk(self._outbox.recall, "last_answer")
        work = [self._supervisor.run(), self._link.run(), self._windows(), self._publish(), self._settle()]
        work += [self._obey(), self._tell_states(), *self._finding.work(), *self._watch()]
        tasks = [asyncio.ensure_future(one) for one in work]
        stopping = asyncio.ensure_future(stop.wait())
        self._log.info("gateway_runs", gateway=self._name, outbox=self._outbox.outbox_id.hex())
        try:
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()  # a task that ended has a bug: let it be seen, and let systemd start us again
        finally:
            await self._end(tasks, stopping)

    async def _end(self, tasks: Sequence[asyncio.Future[None]], stopping: asyncio.Future[Any]) -> None:
        """In order: no more adverts, the open window to disk, one attempt to send it, the last state."""
        radio, link, *others = tasks
        for task in (radio, stopping, *others):
            task.cancel()
        await asyncio.gather(radio, stopping, *others, return_exceptions=True)
        await self._carrier.hang_up()
        await self._take_window()
        await self._on_disk(self._outbox.end)
        await self._publish_once()
        health = self._health()
        await self._on_disk(self._save, health)
        await self._link.farewell(encode_state(health.state(online=False)))
        link.cancel()
        await asyncio.gather(link, return_exceptions=True)
        await self._finding.close()
        await self._on_disk(self._outbox.close)
        self._disk.shutdown()
        self._log.info("gateway_stopped", queued=health.queued_batches)

    def _watch(self) -> list[Any]:
        """The watcher of bluetoothd, where there is a D-Bus to watch it by."""
        if not sys.platform.startswith("linux"):
            return []
        from gateway.bluez import BluezWatch  # dbus-fast exists on Linux only

        watch = BluezWatch(
            self._settings.adapter,
            trouble=self._supervisor.trouble,
            calm=self._supervisor.calm,
            hope=self._supervisor.hope,
        )
        self._supervisor.stack = watch
        return [watch.run()]

    async def _on_disk(self, do: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, lambda: do(*arguments))

    # ------------------------------------------------------------------------------------ radio → disk
    async def _windows(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            place = self._look_where()
            if place != self._place:
                await self._take_window()
                self._place = place
                self._log.info("place_changed", known=place is not None)
            if self._collector.due(self._edges.steady_ns()):
                await self._take_window()

    async def _take_window(self) -> None:
        made_ms = await self._on_disk(self._outbox.recall, "made_ms")
        self._judged = judged = self._clock.judge(made_ms - BACKWARD_MAX_MS)
        window = self._collector.take(self._edges.steady_ns(), judged.offset_ms)
        await asyncio.gather(
            self._keep(window, judged.quality), self._finding.take(window.owned, self._place, judged.quality)
        )
        if window.owned:
            self._tell_state()

    async def _keep(self, window: Window, clock: Clock) -> None:
        if not window.sightings and not window.dropped and not await self._on_disk(self._outbox.owes):
            return
        try:
            made = await self._on_disk(self._add, window, self._edges.wall_ms(), clock)
        except OutboxFullError as error:
            self._counts["outbox_full"] += 1
            self._log.error("outbox_full", message=str(error))
            return
        self._batches_made += len(made)
        self._sightings_made += len(window.sightings)
        self._to_publish.set()
        self._tell_state()
        self._log.debug("window_taken", sightings=len(window.sightings), numbers=made)

    def _add(self, window: Window, now_ms: int, clock: Clock) -> list[int]:
        return self._outbox.add(window, now_ms=now_ms, clock=clock, place=self._place)

    def _look_where(self) -> Any:
        try:
            return self._places.look()
        except Refusal as refusal:
            self._log.error(refusal.code, message=refusal.message, do=refusal.do)
            return self._place

    # ------------------------------------------------------------------------------------ disk → broker
    async def _publish(self) -> None:
        while True:
            try:  # with nothing in flight there is nothing to be published again
                async with asyncio.timeout(AGAIN_LOOK_S if self._courier.waits() else None):
                    await self._to_publish.wait()
            except TimeoutError:
                pass
            self._to_publish.clear()
            await self._publish_once()

    async def _publish_once(self) -> None:
        if not self._link.ready:
            return
        ask = self._courier.ask(self._edges.now_s())
        unsent = await self._on_disk(self._outbox.numbers_after, ask.after, ask.limit) if ask.limit else []
        for number in self._courier.due(ask, unsent, self._edges.now_s()):
            payload = await self._on_disk(self._outbox.payload, number)
            if payload is None:
                self._courier.settled([number])
            elif not self._link.publish(topics.batch(self._name), payload):
                return
            else:
                self._courier.published(number, self._edges.now_s())

    # ------------------------------------------------------------------------------------ broker → disk
    def _on_link(self) -> None:
        self._courier.connected()
        self._to_publish.set()
        self._tell_state()

    def _on_message(self, topic: str, payload: bytes) -> None:
        queue = self._mail.get(topic)
        if queue is None or queue.full():
            self._counts["messages_unread"] += 1  # a receipt comes again for a batch that is published again
        else:
            queue.put_nowait(payload)

    async def _settle(self) -> None:
        while True:
            payload = await self._mail[topics.receipt(self._name)].get()
            try:
                settled = await self._on_disk(self._outbox.settle, payload)
            except WireError as error:
                self._count_refused("receipt", error)
                continue
            except OutboxFullError as error:
                self._no_room("receipt", error)
                continue
            self._receipt_at_s = self._edges.now_s()
            self._courier.settled(settled.gone)
            self._courier.renamed(settled.renamed)
            self._to_publish.set()
            if not self._outbox.depth().batches:
                self._tell_state()
            for reason, count in settled.refused.items():
                self._counts["server_refused"] += count
                self._log.error("server_refused_batches", reason=reason, batches=count)
            if settled.renamed:
                self._log.error("sequence_conflict", renamed=len(settled.renamed))

    async def _obey(self) -> None:
        while True:
            payload = await self._mail[topics.command(self._name)].get()
            now_ms = self._edges.wall_ms()
            try:
                command = self._dialogue.open(payload, now_ms)
            except WireError as error:
                self._count_refused("command", error)
                continue
            try:  # a command that cannot be remembered might be obeyed twice
                await self._on_disk(self._outbox.remember, "last_command", command.sequence + 1)
                reply = await self._carrier.obey(command.body)
                answer = self._dialogue.answer(reply, self._edges.wall_ms())
                await self._on_disk(self._outbox.remember, "last_answer", self._dialogue.last_answer)
            except OutboxFullError as error:
                self._no_room("command", error)
                continue
            self._link.publish(topics.answer(self._name), answer)

    def _count_refused(self, kind: str, error: WireError) -> None:
        code = error.code if error.code.startswith(kind) else f"{kind}_{error.code}"
        self._counts[code] += 1
        self._tell_state()
        self._log.warning("refused", what=kind, code=code, message=str(error))

    def _no_room(self, kind: str, error: OutboxFullError) -> None:
        """It comes again, and perhaps there is room then."""
        self._counts[f"{kind}_no_room"] += 1
        self._log.error("no_room", what=kind, message=str(error))

    # ------------------------------------------------------------------------------------ how we are
    def _tell_state(self) -> None:
        self._state_changed.set()

    async def _tell_states(self) -> None:
        """Every half minute, and soon after a change."""
        while True:
            self._state_changed.clear()
            health = self._health()
            self._link.publish(topics.state(self._name), encode_state(health.state()), retain=True)
            await self._on_disk(self._save, health)
            await asyncio.sleep(STATE_GAP_S)
            try:
                async with asyncio.timeout(STATE_EVERY_S - STATE_GAP_S):
                    await self._state_changed.wait()
            except TimeoutError:
                pass

    def _save(self, health: Health) -> None:
        try:
            save_status(self._settings.data, health)
            if self._settings.metrics_file is not None:
                self._settings.metrics_file.write_text(metrics_text(health))
        except OSError as error:  # a full disk must not end a gateway that still hears
            self._log.error("status_not_written", message=str(error))

    def _last_will(self) -> bytes:
        return encode_state(GatewayState(self._name, False, max(self._edges.wall_ms(), 0), software=self._software))

    def _health(self) -> Health:
        now_s = self._edges.now_s()
        depth = self._outbox.depth()
        return Health(
            gateway=self._name,
            software=self._software,
            pid=os.getpid(),
            started_at_ms=self._started_ms,
            at_ms=self._edges.wall_ms(),
            scanner=self._supervisor.state,
            scanner_trouble=self._supervisor.failure,
            adverts=self._radio.adverts,
            last_advert_age_s=self._supervisor.last_advert_age_s(),
            restarts=dict(self._supervisor.restarts),
            dropped=dict(self._collector.dropped_total() + self._counts),
            batches_made=self._batches_made,
            sightings_made=self._sightings_made,
            queued_batches=depth.batches,
            queued_bytes=depth.size_bytes,
            last_receipt_age_s=None if self._receipt_at_s is None else now_s - self._receipt_at_s,
            link_ready=self._link.ready,
            link_trouble=self._link.trouble,
            clock=self._judged.quality.name.lower(),
            clock_reason=self._judged.reason,
            finding=self._finding.health(),
        )
