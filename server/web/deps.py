"""What routes are given: the house with its transactions, the address of whoever asks, and the rates."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from server.service.accounts import household
from server.service.house import House
from server.service.refusals import refuse
from server.web.limits import RateLimiter
from server.web.live import Live


def house_of(request: Request) -> House:
    """The process's house."""
    house = request.app.state.house
    assert isinstance(house, House), "made in create_app"
    return house


def rates_of(request: Request) -> RateLimiter:
    """The process's rate limiter."""
    rates = request.app.state.rates
    assert isinstance(rates, RateLimiter), "made in create_app"
    return rates


def live_of(request: Request) -> Live:
    """The process's live streams."""
    live = request.app.state.live
    assert isinstance(live, Live), "made in create_app"
    return live


def address_of(request: Request) -> str:
    """The network address of whoever asks (behind a proxy: as the proxy tells it, see uvicorn's trusted hosts)."""
    return request.client.host if request.client else "unknown"


def household_of(request: Request) -> str:
    """Whose tries are counted together: an address of IPv4, or a whole network of IPv6."""
    return household(address_of(request))


async def raw_body(request: Request) -> bytes:
    """The body as it came: what is signed is these very bytes. How large it may be is BodyLimit's."""
    return await request.body()


async def body_within(request: Request, limit: int) -> bytes:
    """The body as it came, read no further than the limit. Refusals: too_large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise refuse("too_large", limit=limit)
    return bytes(body)


Raw = Annotated[bytes, Depends(raw_body)]
TheHouse = Annotated[House, Depends(house_of)]
Rates = Annotated[RateLimiter, Depends(rates_of)]
Address = Annotated[str, Depends(household_of)]
