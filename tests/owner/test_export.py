"""Table, GeoJSON, GPX and CSV of what was found, read again by other people's readers."""

from __future__ import annotations

import csv
import io
import json
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from owner import export
from owner.reports import Found, read
from tests.owner.tag import NOON_S, POTSDAM, PrivateTag

TAG = PrivateTag()
GPX = "{http://www.topografix.com/GPX/1/1}"
NAMES = st.text(max_size=40)


@pytest.fixture(scope="module")
def found() -> Found:
    south = (-33.8688197, -151.2092955)
    reports = [TAG.report(NOON_S, POTSDAM, status=0xC0), TAG.report(NOON_S + 3_600, status=0x20), TAG.report(0, south)]
    return read(reports, TAG.ring(0, NOON_S // 86_400), NOON_S + 7_200)


@given(name=NAMES)
def test_geojson(found: Found, name: str) -> None:
    made = json.loads(export.geojson(found, name))
    assert made["type"] == "FeatureCollection"
    first, second, _ = made["features"]
    assert first["geometry"] == {"type": "Point", "coordinates": [-151.2092955, -33.8688197]}, "longitude first"
    assert second["properties"]["heard_at"] == "2026-11-22T12:00:00Z"
    assert second["properties"]["battery"] == "critical"
    assert second["properties"]["tag"] == name


@given(name=NAMES)
def test_gpx(found: Found, name: str) -> None:
    tree = ElementTree.fromstring(export.gpx(found, name).encode("utf-8", "surrogatepass"))
    assert tree.attrib["version"] == "1.1"
    assert [child.tag for child in tree] == [f"{GPX}trk"]
    points = tree.findall(f".//{GPX}trkpt")
    assert [float(point.attrib["lat"]) for point in points] == [-33.8688197, POTSDAM[0], 52.52]
    assert [child.tag for child in points[0]] == [f"{GPX}time", f"{GPX}cmt"], "the order that the schema demands"
    assert points[1][0].text == "2026-11-22T12:00:00Z"


def test_gpx_holds_any_name(found: Found) -> None:
    name = "<Ann's> & \x00\x1b bag"
    tree = ElementTree.fromstring(export.gpx(found, name))
    assert tree.findtext(f".//{GPX}name") == "<Ann's> & \ufffd\ufffd bag"


@given(name=NAMES)
def test_csv(found: Found, name: str) -> None:
    rows = list(csv.DictReader(io.StringIO(export.csv_text(found, name), newline="")))
    assert list(rows[0]) == list(export.COLUMNS)
    assert [row["tag"].removeprefix("'") for row in rows] == [name.removeprefix("'")] * 3
    assert float(rows[0]["lat"]) == -33.8688197
    assert rows[1]["rssi_dbm"] == "-60"


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=cmd|' /C calc'!A0", "\u200b=1", "＝1", "%0A"]
)
def test_no_name_is_a_formula(found: Found, name: str) -> None:
    row = next(csv.DictReader(io.StringIO(export.csv_text(found, name), newline="")))
    assert row["tag"] == f"'{name}"


def test_an_honest_name_stays_as_it_is(found: Found) -> None:
    assert next(csv.DictReader(io.StringIO(export.csv_text(found, "Ann's bag, red"))))["tag"] == "Ann's bag, red"


def test_the_table_is_newest_first(found: Found) -> None:
    printed = io.StringIO()
    Console(file=printed, width=160).print(export.table(found))
    lines = printed.getvalue().splitlines()
    assert "52.52000, 13.40500" in lines[1]
    assert "moved" in lines[1]
    assert "52.39000, 13.06500" in lines[2]
    assert "battery critical" in lines[2]


def test_nothing_found_is_an_empty_file() -> None:
    empty = read([], TAG.ring(), NOON_S)
    assert json.loads(export.geojson(empty, "")) == {"type": "FeatureCollection", "features": []}
    assert ElementTree.fromstring(export.gpx(empty, "")).findall(f".//{GPX}trkpt") == []
    assert export.csv_text(empty, "") == ",".join(export.COLUMNS) + "\r\n"
