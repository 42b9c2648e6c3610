"""The directory of identifiers and keys, for every gateway and whoever wants to check it: an index and its shards."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response

from server.service.refusals import refuse
from server.web.api.models import refusals
from server.web.auth import Anybody
from server.web.deps import TheHouse

router = APIRouter(tags=["private finding"])
OCTETS: Final = "application/octet-stream"
Day = Annotated[int, Path(ge=0, lt=2**32, description="UTC day, in days since 1970-01-01.", examples=[20_779])]
Shard = Annotated[str, Path(pattern="^[0-9a-f]{64}$", examples=["00" * 32])]
_BYTES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}}}
}
# A shard is named by what is in it, and needed for four days.
_FOR_GOOD: Final = "public, max-age=604800, immutable"


@router.get("/directory/{day}", response_class=Response, responses=_BYTES | refusals("directory_unknown", "too_many"))
def index(day: Day, request: Request, house: TheHouse, _: Anybody) -> Response:
    """The signed index of a day, from yesterday to the day after tomorrow (UTC); a known ETag is answered with 304."""
    directory = house.directories.fresh(day, house.clock())
    if directory is None:
        with house.work() as (tx, now):
            directory = house.directories.looked(tx, house.vault, day, now)
    headers = {"ETag": f'"{directory.tag}"', "Cache-Control": "public, max-age=60"}
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    if headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(directory.index, media_type=OCTETS, headers=headers)


@router.get(
    "/directory/{day}/{sha256}", response_class=Response, responses=_BYTES | refusals("directory_unknown", "too_many")
)
def shard(day: Day, sha256: Shard, house: TheHouse, _: Anybody) -> Response:
    """A part of a day's directory by its SHA-256, as the index names it: sorted entries of identifier and key."""
    name = bytes.fromhex(sha256)
    found = house.directories.shard(day, name, house.clock())
    if found is None and house.directories.fresh(day, house.clock()) is None:
        # Another process of ours may have told of it first.
        with house.work() as (tx, now):
            house.directories.looked(tx, house.vault, day, now)
        found = house.directories.shard(day, name, house.clock())
    if found is None:
        raise refuse("directory_unknown")
    return Response(found, media_type=OCTETS, headers={"ETag": f'"{sha256}"', "Cache-Control": _FOR_GOOD})
