"""The values that requests carry, checked at the door, and how refusals are told in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from server.rules.payload_json import FIRST_YEAR, LAST_YEAR
from server.service.refusals import WORDS, refuse
from server.web.errors import as_json, status_of
from wire.manifest import MAX_SERIAL

ORDER_NUMBER: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def _utc(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year < LAST_YEAR:
        raise ValueError(f"a moment from {FIRST_YEAR} to {LAST_YEAR}")
    return moment.astimezone(UTC)


def _day(day: date) -> date:
    if not FIRST_YEAR <= day.year < LAST_YEAR:
        raise ValueError(f"a day from {FIRST_YEAR} to {LAST_YEAR}")
    return day


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # a zone that nobody has is a KeyError
        raise ValueError("a time zone such as Europe/Berlin") from None
    return name


_NOON: Final = "2026-11-22T12:00:00Z"
Moment = Annotated[AwareDatetime, AfterValidator(_utc), Field(description="ISO 8601 with an offset; kept in UTC.")]
Day = Annotated[date, AfterValidator(_day)]
Zone = Annotated[str, Field(max_length=64, examples=["America/New_York"]), AfterValidator(_zone)]
Line = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=2000)]
Email = Annotated[str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$", examples=["ann@example.com"])]
Secret = Annotated[str, Field(max_length=1024)]
OrderNumber = Annotated[str, Field(max_length=64, pattern=ORDER_NUMBER, examples=["T-1001"])]

Serial = Annotated[int, Path(ge=0, le=MAX_SERIAL, examples=[1099511627])]
NumberInPath = Annotated[str, Path(max_length=64, pattern=ORDER_NUMBER, examples=["T-1001"])]
TransferInPath = Annotated[str, Path(pattern="^[0-9a-f]{32}$", examples=["5f0c6e0b8d7a4b0e9c1d2a3b4c5d6e7f"])]
ClaimInPath = Annotated[str, Path(pattern="^[0-9a-f]{32}$", examples=["5f0c6e0b8d7a4b0e9c1d2a3b4c5d6e7f"])]
FromAt = Annotated[Moment, Query(alias="from", description="ISO 8601 with an offset.", examples=[_NOON])]
ToAt = Annotated[Moment, Query(alias="to", examples=["2026-11-22T18:00:00Z"])]


def plain(value: Any) -> Any:
    """Refuse text that no database keeps (a NUL, half a surrogate pair), wherever it stands in a body."""
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError("text without NUL and half characters")
    elif isinstance(value, dict):
        for key, inner in value.items():
            plain(key)
            plain(inner)
    elif isinstance(value, list):
        for inner in value:
            plain(inner)
    return value


class Body(BaseModel):
    """Every request's body: no unknown field, no blanks around text, nothing of it repeated in an error."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return plain(value)


def example(**body: Any) -> ConfigDict:
    """A body as somebody would send it, for the description of the API; a test holds it against the model."""
    return ConfigDict(json_schema_extra={"examples": [body]})


class ErrorWords(BaseModel):
    """What went wrong, what to do, and what it was about."""

    code: str
    message: str
    do: str
    reference: str


class ErrorBody(BaseModel):
    """The one shape of every answer that says no."""

    error: ErrorWords


class Done(BaseModel):
    """It is done; there is nothing to tell."""

    ok: bool = True


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for OpenAPI: every refusal by its status, with an example."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for code in _with_token(codes):
        refusal = refuse(code, **_blanks(WORDS[code].message + WORDS[code].do))
        entry = by_status.setdefault(
            status_of(refusal),
            {"model": ErrorBody, "description": "", "content": {"application/json": {"examples": {}}}},
        )
        entry["description"] = ", ".join(filter(None, [entry["description"], f"`{code}`"]))
        entry["content"]["application/json"]["examples"][code] = {"value": as_json(refusal)}
    return by_status


def _with_token(codes: Iterable[str]) -> Iterator[str]:
    """Whoever must show who they are may show a token, and it may not be valid."""
    for code in codes:
        yield code
        if code == "sign_in_needed":
            yield "token_invalid"


def _blanks(sentence: str) -> dict[str, Any]:
    """A value for every placeholder of a sentence."""
    return dict.fromkeys((part.partition("}")[0] for part in sentence.split("{")[1:]), "…")
