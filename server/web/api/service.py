"""Our service in figures, for everybody."""

from __future__ import annotations

from fastapi import APIRouter

from server.service import service_record
from server.service.service_record import ServiceAnswer
from server.web.auth import Anybody
from server.web.deps import TheHouse

router = APIRouter(prefix="/service", tags=["service"])


@router.get("")
def service(house: TheHouse, _: Anybody) -> ServiceAnswer:
    """Our service in figures, as they were counted last: promises kept, replies, and how long before we knew."""
    with house.work() as (tx, now):
        return service_record.read(tx, now)
