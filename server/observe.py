"""What the server tells about itself: one log, for people or for collectors, and counters. Never a secret.

Redaction is a net, not a licence: whoever logs names what happened and leaves secrets out; what slips through
under a telling name, or looks like one of our tokens or a URL with a password, is taken out here.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics, generate_latest
from structlog.typing import EventDict, Processor

# When each counter was made would be a second series beside every one; nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call] # its own

HIDDEN: Final = "[hidden]"
_TELLING: Final = re.compile(
    r"password|passwd|secret|token|authori[sz]ation|cookie|csrf|private|credential|k_claim|k_lot|k_factory|master_key"
    r"|claim_code|dsn",
    re.IGNORECASE,
)
_LOOKS_SECRET: Final = re.compile(
    r"(?P<api>hsp_)[\w-]{20,}|(?P<enrol>HS1\.)[\w-]{20,}|(?P<scheme>\w+://[^\s:/@]*:)[^\s@/]+(?=@)"
)
_MAX_TEXT: Final = 2_000


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: hides values by their names, and by what they look like."""
    for name, value in event.items():
        event[name] = HIDDEN if _TELLING.search(name) and value not in (None, "", 0) else _clean(value)
    return event


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        text = value if len(value) <= _MAX_TEXT else value[:_MAX_TEXT] + "…"
        return _LOOKS_SECRET.sub(_hide, text)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, MutableMapping):
        return redact(None, "", dict(value))
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value[:100]]
    return value


def _hide(found: re.Match[str]) -> str:
    return (found["api"] or found["enrol"] or found["scheme"]) + HIDDEN


def set_up_log(log_format: str) -> None:
    """`console` for people or `json` for collectors; libraries' own log lines take the same way. All to stderr."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    last: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[strip, last]))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True


def metrics() -> tuple[bytes, str]:
    """Every counter of this process in Prometheus' text format, and its content type."""
    return generate_latest(), CONTENT_TYPE_LATEST
