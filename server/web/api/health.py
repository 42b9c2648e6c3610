"""For machines that look after this one: alive, ready, counters."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from server.observe import metrics
from server.rules.authority import Role
from server.service.caller import Caller
from server.service.ingest_health import Word, ingest_health
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


class Ready(Alive):
    """It can answer; `ingest` says whether sightings arrive, and how late they are."""

    ingest: Word
    ingest_behind_s: int | None


@router.get("/health")
def health(_: Anybody) -> Alive:
    """The process is alive; nothing else was looked at."""
    return Alive()


@router.get("/ready", responses=refusals("not_ready"))
def ready(house: TheHouse, _: Anybody) -> Ready:
    """The database answers and has this version's tables. Says, too, how late sightings arrive: pages stay up then."""
    try:
        with house.work() as (tx, _now):
            require_newest(tx)
            ingest = ingest_health(tx)
    except SQLAlchemyError:
        raise refuse("not_ready", detail="the database does not answer") from None
    return Ready(status="ready", ingest=ingest.word, ingest_behind_s=ingest.behind_s)


@router.get("/ready/ingest", responses=refusals("not_ready", "ingest_behind"))
def arriving(house: TheHouse, who: Anybody) -> Ready:
    """As `/ready`, and sightings arrive in time: no worker is gone, and none is later than HEARSIGHT_LAG_MAX_S."""
    said = ready(house, who)
    late = said.ingest_behind_s is None or said.ingest_behind_s > house.settings.lag_max_s
    if late or said.ingest in (Word.STOPPED, Word.PARTLY):
        with house.work() as (tx, _now):
            ingest = ingest_health(tx)
        raise refuse("ingest_behind", sentence=ingest.sentence, do=ingest.do)
    return said


@router.get("/metrics", response_class=Response, responses=refusals("sign_in_needed", "not_yours"))
def counters(_: LocalOrOperator) -> Response:
    """Counters in Prometheus' text format: for programs on this machine, and for operators."""
    text, content_type = metrics()
    return Response(text, media_type=content_type)
