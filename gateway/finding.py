"""Private finding, wired: owned frames of a window → sealer → outbox of reports → server; and the directory for it.

    collector ─owned─▶ sealer ─▶ report outbox (disk thread) ─▶ uploader ─▶ server
                         ▲
                     directory (disk) ◀── keeper ◀── server

A thread of its own does what takes disk or many curves, so that sightings never wait for reports.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.clock import RELEASED_MS
from gateway.config import Settings
from gateway.directory import Directory
from gateway.edges import Edges
from gateway.enrolled import Enrolment
from gateway.health import FindingHealth
from gateway.keeper import Keeper
from gateway.owned import OwnedHeard
from gateway.report_outbox import ReportOutbox
from gateway.sealer import DAY_S, Sealer
from gateway.talk import async_client
from gateway.uploader import Uploader
from wire.batch import Clock, Place
from wire.signing import public_key

DIRECTORY_FOLDER: Final = "directory"
REPORTS_FILE: Final = "reports.sqlite"


class Finding:
    """One gateway's part in private finding."""

    def __init__(self, settings: Settings, enrolment: Enrolment, key: Ed25519PrivateKey, edges: Edges) -> None:
        self._edges = edges
        self._disk = ThreadPoolExecutor(1, "reports")
        self._http = async_client(enrolment.server_url, settings.ca_file)
        self._directory = Directory(
            settings.data / DIRECTORY_FOLDER,
            public_key(enrolment.server_public_key),
            limit_bytes=settings.directory_max_bytes,
        )
        self._sealer = Sealer(self._directory.key, enrolment.gateway_class, gap_s=settings.report_gap_s)
        self._box = ReportOutbox(settings.data / REPORTS_FILE, limit_bytes=settings.reports_max_bytes)
        self._keeper = Keeper(
            self._directory,
            self._http,
            on_disk=self._on_disk,
            today=self._today,
            now_s=edges.now_s,
            interval_s=settings.directory_poll_s,
            jitter=edges.jitter,
            log=edges.log,
        )
        self._uploader = Uploader(
            enrolment.gateway, key, self._box, self._http, on_disk=self._on_disk, jitter=edges.jitter, log=edges.log
        )
        self._sealed = 0
        self._dropped: Counter[str] = Counter({"outbox_broken": 1} if self._box.was_broken else {})

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """What runs as long as the gateway does."""
        return [self._keeper.run(), self._uploader.run()]

    async def take(self, owned: Sequence[OwnedHeard], place: Place | None, clock: Clock) -> None:
        """The owned tags of one window: sealed and on disk when this returns."""
        if not owned:
            return
        sealed, dropped = await self._on_disk(self._take, owned, place, clock)
        self._sealed += sealed
        self._dropped.update(dropped)
        self._uploader.more()

    def _take(self, owned: Sequence[OwnedHeard], place: Place | None, clock: Clock) -> tuple[int, Counter[str]]:
        """How many were sealed, and what was dropped: told to the loop's thread, which alone counts."""
        reports, dropped = self._sealer.seal(owned, place, clock)
        lost = self._box.add(reports)
        return len(reports), dropped + Counter(outbox_full=lost)

    async def close(self) -> None:
        """After the work was cancelled; what waits is on disk."""
        await self._http.aclose()
        await self._on_disk(self._box.close)
        self._disk.shutdown()

    def health(self) -> FindingHealth:
        """How it is. Of what the other thread writes single values are read, never a table."""
        waiting, size, fresh_at_s = self._box.waiting(), self._directory.size(), self._keeper.fresh_at_s
        return FindingHealth(
            reports_waiting=waiting.reports,
            reports_sealed=self._sealed,
            reports_uploaded=self._uploader.uploaded,
            reports_dropped=dict(self._dropped + self._uploader.refused),
            reports_trouble=self._uploader.trouble,
            directory_days=size.days,
            directory_entries=size.entries,
            directory_bytes=size.bytes,
            directory_age_s=None if fresh_at_s is None else self._edges.now_s() - fresh_at_s,
            directory_refused=dict(self._keeper.refused),
            directory_trouble=self._keeper.trouble,
        )

    def _today(self) -> int | None:
        now_ms = self._edges.wall_ms()
        return now_ms // (DAY_S * 1_000) if now_ms >= RELEASED_MS else None

    async def _on_disk(self, do: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, lambda: do(*arguments))
