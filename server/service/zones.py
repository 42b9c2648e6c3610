"""Time zones as people name them."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from server.service.refusals import refuse


def check_zone(zone: str) -> None:
    """Refusals: zone_unknown."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones, such as `Europe`, is an OSError
        raise refuse("zone_unknown", zone=zone[:64]) from None
