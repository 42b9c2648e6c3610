"""The live answer of one tag: an open stream of server-sent events for its present owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection

from server.service import owning, whereabouts
from server.service.caller import Caller
from server.service.house import House
from server.service.whereabouts import TagAnswer
from server.web.api.models import Serial, refusals
from server.web.auth import OWNERS, Owner, still
from server.web.deps import TheHouse, live_of
from server.web.stream import Reading, Stream

router = APIRouter(tags=["tags"])
LastId = Annotated[
    str, Header(alias="Last-Event-ID", max_length=64, description="That of the last event seen.", examples=["8f1c-42"])
]


class EventStream(StreamingResponse):
    """Events as they come. (FastAPI's own class would take the rest over as well: beats that ask nobody whether the
    reader may still read.)"""

    media_type = "text/event-stream"


async def _opened(
    request: Request, serial: Serial, house: TheHouse, who: Owner, last_event_id: LastId = ""
) -> AsyncIterator[Stream]:
    """A stream that is woken until the answer is over, however it ends."""

    def allowed(tx: Connection, now: datetime) -> None:
        still(request, tx, now, OWNERS)
        owning.owned(tx, who, serial)

    def answer(tx: Connection, now: datetime) -> TagAnswer:
        return whereabouts.tag(tx, who, serial, house.policy, now)

    await asyncio.to_thread(_must_be_theirs, house, who, serial)
    hub = live_of(request)
    stream = Stream(house, hub, serial, who.account_no, Reading(allowed, answer), last_event_id)
    with hub.joined(stream):
        yield stream


def _must_be_theirs(house: House, who: Caller, serial: int) -> None:
    with house.work() as (tx, _):
        owning.owned(tx, who, serial)


@router.get(
    "/tags/{serial}/live",
    response_class=EventStream,
    responses=refusals("sign_in_needed", "not_yours", "tag_unknown", "live_limit", "live_full"),
)
async def live(stream: Annotated[Stream, Depends(_opened)]) -> EventStream:
    """The tag as it is heard: server-sent events within a second of a sighting, each with the whole answer."""
    # Nothing on the way may hold back or keep what is meant for this moment.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventStream(stream.events(), headers=headers)
