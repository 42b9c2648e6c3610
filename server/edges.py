"""What the web process does beside answering: the line to the gateways, letters, and sweeps, each on its own thread.

Started and stopped by the command `web`; every part fails for itself, is logged, and is tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from prometheus_client import Counter, Histogram

from server import figures
from server.carriers import easypost
from server.carriers.polling import Poller
from server.commands.board import Board
from server.commands.carrier import GatewayCarrier
from server.commands.link import Link
from server.commands.registry import Registry
from server.commands.relay import GatewayRelays
from server.notify.deliver import Doors, deliver_due
from server.notify.mail import Mailer
from server.notify.probe import look
from server.notify.webpush import Sender
from server.service import channel_health, push, tracking
from server.service.house import House
from server.service.letters import SEALED_LINK
from server.service.ports import house_ports_of
from server.service.remedy_work import Shop
from server.store import keys
from server.store.db import engine, url_of
from server.sweep.cohorts import sweep_cohorts
from server.sweep.housekeeping import KeptAlreadyError, keep_house
from server.sweep.measures import sweep_listening, sweep_service_record
from server.sweep.orders import sweep_orders
from server.sweep.remedies import sweep_remedies

# Somebody waits for the message that their bicycle was heard.
LETTERS_EVERY_S: Final = 1.0
# An order's next moment to look is a matter of minutes.
ORDERS_EVERY_S: Final = 5.0
ORDERS_AT_ONCE: Final = 500
CARRYINGS_EVERY_S: Final = 5.0
OLD_EVERY_S: Final = 3600.0
# Reads every recent order; a mistake behind many of them is not made within minutes.
COHORTS_EVERY_S: Final = 900.0
# Each round asks about twenty numbers at most; a scan that is a minute old is news.
PARCELS_EVERY_S: Final = 60.0
# A look whether there is anything to count costs nothing.
MEASURES_EVERY_S: Final = 600.0
# A mail server that was started anew answers within a minute or two; a customer who waits learns of it soon enough.
PROBES_EVERY_S: Final = 300.0
# An express label may be minutes away from its cut-off.
REMEDIES_EVERY_S: Final = 5.0
# A scrape every 15 s finds something new.
FIGURES_EVERY_S: Final = 15.0

ROUNDS: Final = Counter("hearsight_rounds_total", "Rounds of background work, by kind and outcome", ["kind", "outcome"])
ROUND_S: Final = Histogram(
    "hearsight_round_seconds",
    "Time of one round of background work, by kind",
    ["kind"],
    buckets=[0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60, 600],
)
SWEPT: Final = Counter("hearsight_orders_swept_total", "Orders whose verdict was looked at again because it was due")
REMEDIES: Final = Counter("hearsight_remedies_total", "What the round of remedies did, by what it was", ["what"])
for _what in ("unasked", "run_steps", "granted", "booked", "done", "failed", "withdrawn"):
    REMEDIES.labels(_what)
REMOVED: Final = Counter("hearsight_removed_total", "What housekeeping removed or merged, by what it was", ["what"])
for _what in (
    "partitions_dropped", "sightings_erased", "months_merged", "ledger_rows", "unresolved_frames", "sessions", "resets",
    "attempts", "letters_emptied", "reports_of_a_loss_emptied", "words_of_contacts", "waiting_letters_dropped",
    "webhooks",
):  # fmt: skip
    REMOVED.labels(_what)


class Every:
    """Does one thing again and again; a round that breaks is logged and the next one comes all the same."""

    def __init__(self, name: str, period_s: float, work: Callable[[], Any], log: Any) -> None:
        self._name, self._period_s, self._work, self._log = name, period_s, work, log
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        for outcome in ("done", "broken"):
            ROUNDS.labels(name, outcome)
        ROUND_S.labels(name)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._end.wait(self._period_s):
            try:
                with ROUND_S.labels(self._name).time():
                    self._work()
            except Exception as error:
                # The database may be away for a moment; whatever it was must not end the rounds for good.
                ROUNDS.labels(self._name, "broken").inc()
                self._log.error("round_broke", round=self._name, error=repr(error))
            else:
                ROUNDS.labels(self._name, "done").inc()


class Edges:
    """All of them, around one house. Sets `house.carrier` and `house.relays` if there is a broker."""

    def __init__(self, house: House) -> None:
        settings, log = house.settings, structlog.get_logger("edges")
        mailer = Mailer(settings.smtp_url, settings.mail_from) if settings.smtp_url else None
        doors = Doors(
            mailer,
            lambda sealed: house.vault.open(keys.CHANNEL_ADDRESS.what(), sealed).decode(),
            lambda sealed: house.vault.open(keys.CHANNEL_SECRET.what(), sealed),
            lambda sealed: house.vault.open(SEALED_LINK, sealed).decode(),
            settings.webhooks_private,
            Sender(lambda: _push_key(house), push.contact(settings), house.dice),
        )
        self._registry = Registry(house)
        self._link = self._board = self._carrier = self._relays = None
        if settings.mqtt_url:
            client_id = f"hearsight-web-{house.dice(4).hex()}"
            self._link = Link(settings.mqtt_url, client_id, log=log.warning, ca_file=settings.mqtt_ca_file)
            self._board = _board(house, self._registry, self._link)
            self._carrier = GatewayCarrier(self._registry, self._board, clock=house.clock, log=log.info)
            self._relays = GatewayRelays(self._registry, self._board, dice=house.dice, clock=house.clock)
            house.carrier, house.relays = self._carrier, self._relays
        # Parcel carriers: their webhooks need the adapter, their rounds too.
        asked = easypost.EasyPost(settings.easypost_url, settings.easypost_key, settings.easypost_webhook_secret)
        house.parcel_carriers[easypost.VENDOR] = asked
        self._poller = Poller(house.engine, asked, house.clock)
        self._house, self._log = house, log
        # Connections of its own: a merge takes minutes, and those of the pages are few.
        self._keepers = engine(url_of(house.engine), pool_size=2, application="hearsight housekeeping")
        ports = house_ports_of(house.engine, settings)
        shop = Shop(house.engine, ports, house.policy, house.clock, settings.base_url)
        self._rounds = [
            Every("letters", LETTERS_EVERY_S, lambda: deliver_due(house.engine, doors, house.clock), log),
            Every(
                "orders",
                ORDERS_EVERY_S,
                lambda: SWEPT.inc(sweep_orders(house.engine, house.policy, house.clock, ORDERS_AT_ONCE)),
                log,
            ),
            Every(
                "cohorts",
                COHORTS_EVERY_S,
                lambda: sweep_cohorts(house.engine, house.policy, house.clock()),
                log,
            ),
            Every("measures", MEASURES_EVERY_S, self._measure, log),
            Every("parcels", PARCELS_EVERY_S, self._ask_carriers, log),
            Every("remedies", REMEDIES_EVERY_S, lambda: _count_remedies(sweep_remedies(shop)), log),
            Every("figures", FIGURES_EVERY_S, self._read_figures, log),
            Every("old", OLD_EVERY_S, self._keep_house, log),
        ]
        if mailer is not None:
            self._rounds.append(Every("probes", PROBES_EVERY_S, lambda: probe_mail(house, mailer), log))
        if self._carrier is not None and self._relays is not None:
            self._rounds.append(Every("carryings", CARRYINGS_EVERY_S, self._carrier.expire, log))
            self._rounds.append(Every("relays", CARRYINGS_EVERY_S, self._relays.expire, log))

    def start(self) -> None:
        if self._link is not None and self._board is not None:
            self._link.start(on_state=self._registry.on_state, on_answer=self._board.on_answer)
        for each in self._rounds:
            each.start()

    def stop(self) -> None:
        for each in self._rounds:
            each.stop()
        if self._link is not None:
            self._link.stop()
        self._keepers.dispose()

    def _measure(self) -> None:
        retention = timedelta(days=self._house.settings.retention_days)
        sweep_listening(self._house.engine, retention, self._house.clock())
        sweep_service_record(self._house.engine, self._house.clock())

    def _ask_carriers(self) -> None:
        with self._house.work() as (tx, now):
            tracking.match_waiting(tx, now)
        self._poller.poll_due()

    def _read_figures(self) -> None:
        with self._house.work() as (tx, now):
            figures.read(tx, now)

    def _keep_house(self) -> None:
        retention = timedelta(days=self._house.settings.retention_days)
        try:
            done = keep_house(
                self._keepers, retention, self._house.clock(), time.sleep, lambda *_: None,
                reports_kept=timedelta(days=self._house.settings.private_reports_days),
            )  # fmt: skip
        except KeptAlreadyError:
            return  # another web process does, or somebody at the command line
        for what, count in done.items():
            REMOVED.labels(what.replace(" ", "_")).inc(count)
        self._log.info("house_kept", **{what.replace(" ", "_"): count for what, count in done.items() if count})


def probe_mail(house: House, mailer: Mailer) -> bool:
    """Look at the mail server's door, outside of any transaction; True if what we knew of it changed."""
    why = look(mailer)
    with house.work() as (tx, now):
        return channel_health.probed(tx, "mail", why, now)


def _push_key(house: House) -> EllipticCurvePrivateKey:
    with house.work() as (tx, now):
        return keys.push_key(tx, house.vault, now)


def _count_remedies(done: dict[str, int]) -> None:
    for what, count in done.items():
        REMEDIES.labels(what).inc(count)


def _board(house: House, registry: Registry, link: Link) -> Board:
    with house.work() as (tx, now):
        server_key = keys.server_key(tx, house.vault, now)
    return Board(registry.gateway_key, link.send, server_key, dice=house.dice, clock=house.clock)
