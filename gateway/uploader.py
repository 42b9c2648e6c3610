"""Takes sealed reports to the server over HTTP: signed, a thousand at a time, again until somebody answered.

200, and in our words     the server has decided about each: delete
401                       it does not know us (any more): keep, ask again slowly
anything else, silence    keep, again after a while

Nothing else deletes: a 403 or 404 comes from a proxy in front of a server that is being mended, and no report is worth
less for it. If the two do not understand one another at all, they wait on disk until one of them was updated.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta

from gateway.report_outbox import Load, ReportOutbox
from gateway.talk import Answer, AwayError, ask
from wire.report_upload import encode_upload
from wire.signing import Domain, sign

PATH: Final = "/api/v1/reports"
BACKOFF_MIN_S: Final = 5.0
BACKOFF_MAX_S: Final = 600.0
# An enrolment that was revoked does not come back within seconds.
UNKNOWN_S: Final = 600.0
ANSWER_MAX_BYTES: Final = 64 * 1024
# Five are known; each is a line of the metrics for as long as we run, so that nobody may invent new ones for ever.
REASONS_MAX: Final = 32
_HEADERS: Final = {"content-type": "application/octet-stream"}
Count = Annotated[int, Meta(ge=0)]
OnDisk = Callable[..., Awaitable[Any]]


class Told(msgspec.Struct, frozen=True):
    """The server's answer: how many it stored, how many it had, and how many it refused, by reason."""

    stored: Count
    known: Count
    refused: Annotated[
        dict[Annotated[str, Meta(max_length=32, pattern=r"^[a-z_]+\Z")], Count], Meta(max_length=32)
    ] = {}


_TOLD: Final = msgspec.json.Decoder(Told)


def told_by(answer: Answer) -> Told | None:
    """What the server decided; None if nobody did: a 200 that does not speak of reports is a hotel's network."""
    if answer.status != 200:
        return None
    try:
        return _TOLD.decode(answer.content)
    except (msgspec.DecodeError, ValueError):
        return None


class Uploader:
    """Runs for ever. `on_disk` runs in the outbox's thread; `jitter` gives 0 … 1."""

    def __init__(
        self,
        gateway: str,
        key: Ed25519PrivateKey,
        box: ReportOutbox,
        http: httpx.AsyncClient,
        *,
        on_disk: OnDisk,
        jitter: Callable[[], float],
        log: Any,
    ) -> None:
        self.uploaded = 0
        self.refused: Counter[str] = Counter()
        self.trouble = ""
        self._gateway, self._key, self._box, self._http = gateway, key, box, http
        self._on_disk, self._jitter, self._log = on_disk, jitter, log
        self._more = asyncio.Event()
        self._patience_s = BACKOFF_MIN_S

    def more(self) -> None:
        """There are new reports."""
        self._more.set()

    async def run(self) -> None:
        while True:
            self._more.clear()
            load = await self._on_disk(self._box.next_load)
            if load is None:
                await self._more.wait()
                continue
            wait_s = await self._take_up(load)
            if wait_s:
                await asyncio.sleep(wait_s * (0.5 + self._jitter()))

    async def _take_up(self, load: Load) -> float:
        """One upload; seconds to wait before the next."""
        payload = sign(self._key, Domain.REPORTS, encode_upload(self._gateway, load.reports))
        try:
            answer = await ask(self._http, PATH, ANSWER_MAX_BYTES, content=payload, headers=_HEADERS)
        except AwayError as error:
            return self._later(str(error))
        told = told_by(answer)
        if told is None and answer.status == 401:
            self._say("the server does not know this gateway (401)")
            return UNKNOWN_S
        if told is None:
            return self._later(f"the server answered {answer.status}")
        if not await self._on_disk(self._box.settle, load):
            return self._later("the disk is too full to forget what the server has")
        self._patience_s, self.trouble = BACKOFF_MIN_S, ""
        self.uploaded += told.stored + told.known
        for why, count in told.refused.items():
            self.refused[why if why in self.refused or len(self.refused) < REASONS_MAX else "other"] += count
        return 0.0

    def _later(self, why: str) -> float:
        self._say(why)
        wait_s, self._patience_s = self._patience_s, min(self._patience_s * 2, BACKOFF_MAX_S)
        return wait_s

    def _say(self, why: str) -> None:
        if why != self.trouble:
            self._log.warning("reports_wait", reason=why)
        self.trouble = why
