"""For machines that look after this one: alive, ready, counters."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from server.observe import metrics
from server.rules.authority import Role
from server.service.caller import Caller
from server.service.refusals import refuse
from server.store.migrations import require_newest
from server.web.api.models import refusals
from server.web.auth import Anybody, LoopbackOr
from server.web.deps import TheHouse

router = APIRouter(tags=["health"])
LocalOrOperator = Annotated[Caller | None, Depends(LoopbackOr(Role.OPERATOR))]


class Alive(BaseModel):
    """It answers."""

    status: str = "ok"


@router.get("/health")
def health(_: Anybody) -> Alive:
    """The process is alive; nothing else was looked at."""
    return Alive()


@router.get("/ready", responses=refusals("not_ready"))
def ready(house: TheHouse, _: Anybody) -> Alive:
    """The database answers and has this version's tables."""
    try:
        with house.work() as (tx, _now):
            require_newest(tx)
    except SQLAlchemyError:
        raise refuse("not_ready", detail="the database does not answer") from None
    return Alive(status="ready")


@router.get("/metrics", response_class=Response, responses=refusals("sign_in_needed", "not_yours"))
def counters(_: LocalOrOperator) -> Response:
    """Counters in Prometheus' text format: for programs on this machine, and for operators."""
    text, content_type = metrics()
    return Response(text, media_type=content_type)
