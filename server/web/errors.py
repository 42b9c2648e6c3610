"""One shape for everything that goes wrong: `{"error": {code, message, do, reference}}`, whatever raised it.

A refusal keeps its words. What a library refuses (a body that does not fit, an unknown address) is said in the same
shape. A bug is logged with a reference that the person can quote, and nothing of it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import Counter
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.refusal import Kind, Refusal
from server.service.refusals import refuse

STATUS: Final[Mapping[Kind, int]] = {
    Kind.INVALID: 422,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.LATER: 503,
}
# Codes for which HTTP has a status of its own.
OWN_STATUS: Final[Mapping[str, int]] = {
    "too_large": 413,
    "method_not_allowed": 405,
    "too_many": 429,
    "too_many_claims": 429,
    "sign_in_throttled": 429,
    "live_limit": 429,
    "broken": 500,
}

# Programs read these; everywhere else a refusal is shown as a page.
FOR_PROGRAMS: Final = ("/api/", "/health", "/ready", "/metrics")
Render = Callable[[Request, Refusal, int], Response]
REFUSED: Final = Counter("hearsight_web_refusals_total", "Requests that were refused, by code", ["code"])
log = structlog.get_logger(__name__)


def status_of(refusal: Refusal) -> int:
    """The HTTP status of a refusal."""
    return OWN_STATUS.get(refusal.code, STATUS[refusal.kind])


def as_json(refusal: Refusal) -> dict[str, Any]:
    """The one JSON shape of a refusal."""
    words = {"code": refusal.code, "message": refusal.message, "do": refusal.do, "reference": refusal.reference}
    return {"error": words}


def answer(request: Request, refusal: Refusal) -> Response:
    """The response that says no."""
    status = status_of(refusal)
    REFUSED.labels(refusal.code).inc()
    render: Render | None = getattr(request.app.state, "render_refusal", None)
    if render is not None and not request.url.path.startswith(FOR_PROGRAMS):
        return render(request, refusal, status)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status in (429, 503):
        headers["Retry-After"] = "30"
    return JSONResponse(as_json(refusal), status, headers)


def install(app: FastAPI) -> None:
    """Teach an application to answer every wrong in the one shape."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal), "registered for refusals"
        return answer(request, error)

    async def unreadable(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError), "registered for these"
        # A person reads that an address leads nowhere; a program is told which part of it is wrong.
        if not request.url.path.startswith(FOR_PROGRAMS) and all(each["loc"][0] == "path" for each in error.errors()):
            return answer(request, refuse("not_found"))
        return answer(request, refuse("bad_request", detail=_what_is_wrong(error)))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "registered for these"
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code)
        return answer(request, refuse(code) if code else refuse("bad_request", detail="it does not fit this address"))

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(RequestValidationError, unreadable)
    app.add_exception_handler(HTTPException, http)


class Breakage:
    """ASGI: a bug or a breakage is logged with a reference that the person can quote, and nothing of it is shown."""

    def __init__(self, app: ASGIApp, new_reference: Callable[[], str]) -> None:
        self._app = app
        self._new_reference = new_reference

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noticed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noticed)
        except ClientDisconnect:
            # Whoever hangs up in the middle of a form broke nothing, and must not fill the log.
            REFUSED.labels("hung_up").inc()
        except Exception as error:
            if scope["type"] != "http":
                raise
            reference = self._new_reference()
            # The route's pattern, not the address: addresses hold codes and tokens.
            route = getattr(scope.get("route"), "path", "")
            log.error("request_broke", reference=reference, route=route, exc_info=error)
            if started:
                raise
            broken = answer(Request(scope, receive), refuse("broken", reference=reference))
            await broken(scope, receive, send)


def _what_is_wrong(error: RequestValidationError) -> str:
    """The first field that does not fit, and why; never what was in it, which may be a secret."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part != "body") or "the body"
    return f"{field}: {first['msg']}"
