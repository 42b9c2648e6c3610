"""One tag as it is heard: the server's open answer, taken up again when it is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from owner.api import Api, Event, RefusedError

AGAIN_FIRST_S: Final = 1.0
# A server that is down for an hour is asked a hundred times, not thousands.
AGAIN_MAX_S: Final = 30.0
# What may be otherwise in a moment; everything else is a matter of who asks, and asking again changes nothing.
PASSING: Final = frozenset(
    {"server_unreachable", "server_error", "not_ready", "broken", "too_many", "live_full", "live_limit"}
)
PAUSED: Final = Event("paused", None, "")


async def watch(api: Api, serial: int) -> AsyncGenerator[Event, None]:
    """`state` and `sighting` as the server sends them, and `paused` while there is nobody to ask.

    Raises RefusedError when the server says no for good, and when it could not be reached in the first place.
    """
    last_id, again_s, reached = "", AGAIN_FIRST_S, False
    while True:
        try:
            async for event in api.events(f"/tags/{serial}/live", last_id):
                if event.kind == "end":
                    said = event.data["error"]
                    raise RefusedError(said["code"], said["message"], said["do"])
                reached, again_s, last_id = True, AGAIN_FIRST_S, event.id or last_id
                yield event
        except RefusedError as refused:
            if not reached or refused.code not in PASSING:
                raise
        yield PAUSED
        await asyncio.sleep(again_s)
        again_s = min(again_s * 2, AGAIN_MAX_S)
