"""How the gateway logs: events with facts, for people or for machines, on stderr. Never keys, never passwords."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import Processor


def set_up(log_format: str, level: str) -> None:
    """One form for our own events and for those of libraries."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    # bleak and dbus-fast tell on "info" what supervise.py tells better, and warn of connections that it closed.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("bleak").setLevel(logging.ERROR)
