"""Keeps the directory fresh: the signed index of each day, and those of its shards that changed. All of it, always:

whoever asked for single identifiers would tell the server whom it hears. Without a server the gateway goes on with what
is on its disk. One refused shard or day spoils no other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx

from gateway.directory import Directory, Shard
from gateway.talk import Answer, AwayError, ask
from wire.directory import MAX_INDEX_BYTES, MAX_SHARD_BYTES
from wire.errors import WireError
from wire.signing import SIGNATURE_LEN

PATH: Final = "/api/v1/directory"
# From yesterday, for tags whose clock is late, to the day after tomorrow, for gateways that were offline for a day.
DAYS: Final = (0, 1, -1, 2)
# After a failure; then twice as long each time, up to the interval.
BACKOFF_MIN_S: Final = 5.0
# A gateway that does not know what day it is looks again whether it does.
NO_CLOCK_S: Final = 5.0
OnDisk = Callable[..., Awaitable[Any]]


class Keeper:
    """Polls for ever. `today` is the UTC day in days since 1970, None while nobody knows it; `on_disk` runs in the
    directory's thread; `jitter` gives 0 … 1.
    """

    def __init__(
        self,
        directory: Directory,
        http: httpx.AsyncClient,
        *,
        on_disk: OnDisk,
        today: Callable[[], int | None],
        now_s: Callable[[], float],
        interval_s: float,
        jitter: Callable[[], float],
        log: Any,
    ) -> None:
        self.refused: Counter[str] = Counter()
        self.trouble = "not asked yet"
        self.fresh_at_s: float | None = None
        self._directory, self._http, self._on_disk = directory, http, on_disk
        self._today, self._now_s, self._interval_s, self._jitter = today, now_s, interval_s, jitter
        self._log = log
        self._etags: dict[int, str] = {}
        self._patience_s = BACKOFF_MIN_S

    async def run(self) -> None:
        while True:
            today = self._today()
            if today is None:
                await asyncio.sleep(NO_CLOCK_S)
                continue
            trouble = await self.poll(today)
            if trouble and trouble != self.trouble:
                self._log.warning("directory_not_fresh", reason=trouble)
            self.trouble = trouble
            if trouble:
                wait_s, self._patience_s = self._patience_s, min(self._patience_s * 2, self._interval_s)
            else:
                wait_s, self._patience_s, self.fresh_at_s = self._interval_s, BACKOFF_MIN_S, self._now_s()
            await asyncio.sleep(wait_s * (0.5 + self._jitter()))  # so that a thousand gateways do not ask at once

    async def poll(self, today: int) -> str:
        """Every day once; what is wrong, in words, or nothing."""
        await self._on_disk(self._directory.keep, today + min(DAYS), today + max(DAYS))
        self._etags = {day: etag for day, etag in self._etags.items() if day - today in DAYS}
        troubles = []
        for after in DAYS:
            try:
                troubles.append(await self._poll_day(today + after))
            except AwayError as error:  # the others would only take as long to fail
                return str(error)
            except OSError as error:
                return f"the disk: {error}"
        return next((trouble for trouble in troubles if trouble), "")

    async def _poll_day(self, day: int) -> str:
        etag = self._etags.get(day)
        headers = {"if-none-match": etag} if etag else {}
        answer = await ask(self._http, f"{PATH}/{day}", MAX_INDEX_BYTES + SIGNATURE_LEN, headers=headers)
        if answer.status == 404:
            return ""  # it publishes none of this day
        if answer.status != 304:
            try:
                await self._on_disk(self._directory.take_index, day, _content(answer))
            except WireError as error:
                return self._count(f"the index of day {day}", error)
            self._etags[day] = answer.headers.get("etag", "")
        trouble = ""
        for shard in await self._on_disk(self._directory.missing, day):
            trouble = await self._fetch(day, shard) or trouble
        return trouble

    async def _fetch(self, day: int, shard: Shard) -> str:
        answer = await ask(self._http, f"{PATH}/{day}/{shard.sha256.hex()}", MAX_SHARD_BYTES)
        try:
            await self._on_disk(self._directory.take_shard, day, shard.number, _content(answer))
        except WireError as error:
            return self._count(f"shard {shard.number} of day {day}", error)
        return ""

    def _count(self, what: str, error: WireError) -> str:
        self.refused[error.code] += 1
        return f"{what} is not believed: {error} ({error.code})"


def _content(answer: Answer) -> bytes:
    """What a 200 brought. Raises AwayError for a server in trouble, WireError for any other answer."""
    if answer.status == 429 or answer.status >= 500:
        raise AwayError(f"the server answered {answer.status}")
    if answer.status != 200:
        raise WireError("directory_answer", f"the server answered {answer.status}")
    return answer.content
