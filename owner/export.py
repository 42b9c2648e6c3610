"""What was found, for people and for other programs: a table, GeoJSON (RFC 7946), GPX 1.1, CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from typing import Any, Final
from xml.sax.saxutils import escape

from rich.table import Table

from owner.reports import Found, Point

# 1e-7° is what a report holds, about a centimetre.
_DIGITS: Final = 7
_BATTERY: Final = ("full", "medium", "low", "critical")
COLUMNS: Final = (
    "tag", "heard_at", "lat", "lon", "accuracy_m", "rssi_dbm", "battery", "moved", "clock_lost", "gateway",
)  # fmt: skip
# What a spreadsheet takes for the beginning of a formula; a blank or an invisible character before it hides nothing.
_FORMULA: Final = re.compile(r"^[\s\x00-\x20\u200b\ufeff]*[=+\-@\t\r|%\uff0b\uff0d\uff1d\uff20]")
# What XML 1.0 cannot hold, not even escaped.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def table(found: Found) -> Table:
    """The points, newest first, in this machine's zone, for a terminal."""
    made = Table("heard", "place", "within", "signal", "receiver", "tag", box=None, pad_edge=False)
    for point in reversed(found.points):
        local = point.heard_at.astimezone()
        when = f"{local:%a} {local.day} {local:%b %H:%M:%S}"
        place = f"{point.lat:.5f}, {point.lon:.5f}"
        made.add_row(when, place, f"{point.within_m} m", f"{point.rssi_dbm} dBm", point.gateway, _state(point))
    return made


def _state(point: Point) -> str:
    status = point.status
    words = [f"battery {_BATTERY[status.battery]}"] if status.battery else []
    words += ["moved"] if status.moved else []
    words += ["clock lost: the time is the receiver's word"] if status.clock_lost else []
    return ", ".join(words)


def rows(found: Found, name: str) -> Iterable[dict[str, Any]]:
    """The points in order of time, each under the names of `COLUMNS`. `accuracy_m` bounds where the tag was."""
    for point in found.points:
        yield {
            "tag": name,
            "heard_at": f"{point.heard_at:%Y-%m-%dT%H:%M:%SZ}",
            "lat": round(point.lat, _DIGITS),
            "lon": round(point.lon, _DIGITS),
            "accuracy_m": point.within_m,
            "rssi_dbm": point.rssi_dbm,
            "battery": _BATTERY[point.status.battery],
            "moved": point.status.moved,
            "clock_lost": point.status.clock_lost,
            "gateway": point.gateway,
        }


def geojson(found: Found, name: str) -> str:
    """A FeatureCollection of points, WGS 84, longitude first."""
    features = []
    for row in rows(found, name):
        place = [row.pop("lon"), row.pop("lat")]
        features.append({"type": "Feature", "geometry": {"type": "Point", "coordinates": place}, "properties": row})
    return json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False)


def gpx(found: Found, name: str) -> str:
    """One track of one segment; accuracy and signal stand in each point's comment, for GPX has no field for metres."""
    points = "\n".join(
        f'<trkpt lat="{row["lat"]:.{_DIGITS}f}" lon="{row["lon"]:.{_DIGITS}f}"><time>{row["heard_at"]}</time>'
        f"<cmt>within {row['accuracy_m']} m, {row['rssi_dbm']} dBm, {row['gateway']}</cmt></trkpt>"
        for row in rows(found, name)
    )
    title = escape(_NOT_XML.sub("\ufffd", name))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<gpx version="1.1" creator="Hearsight" xmlns="http://www.topografix.com/GPX/1/1">\n'
        f"<trk><name>{title}</name><trkseg>\n{points}\n</trkseg></trk>\n</gpx>\n"
    )


def csv_text(found: Found, name: str) -> str:
    """RFC 4180 with a header. A tag's name that a spreadsheet would take for a formula gets an apostrophe in front."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    writer.writerows(rows(found, _harmless(name)))
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text
