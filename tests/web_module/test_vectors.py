"""The browser's module against the vectors, another implementation's and our own, and against Python in both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from owner import keys
from tests.owner.tag import DAY, NOON_S, PrivateTag, secret
from tests.wire.make_vectors import FILE
from wire import keys as wire_keys
from wire.household import Handover, open_handover
from wire.sealed import Report, open_report
from wire.share import decode_share

pytestmark = pytest.mark.browser

DESIGN = Path(__file__).resolve().parents[1] / "wire" / "vectors_design.json"
FILES = pytest.mark.parametrize("path", [DESIGN, FILE], ids=lambda path: path.name)
TAG = PrivateTag()
SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def entries(path: Path, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text()).get(kind, [])
    assert found or path == DESIGN, f"{path.name} has no {kind}"
    return found


@FILES
def test_owner(ask, path: Path) -> None:
    """Day keys, fetch tokens, identifiers."""
    function = """async (m, entries) => Promise.all(entries.map(async ({ S_o, day }) => {
        const seed = m.unhex(S_o), d = await m.dayKey(seed, day), P = await m.publicOf(d);
        const made = { d, P, f: await m.fetchToken(seed, day), K_own: await m.ownKey(seed), EID: await m.eidOf(P) };
        const shown = Object.fromEntries(Object.entries(made).map(([name, bytes]) => [name, m.hex(bytes)]));
        return { S_o, day, ...shown };
    }))"""
    vectors = entries(path, "owner")
    assert ask(function, vectors) == vectors


@FILES
def test_owned(ask, path: Path) -> None:
    """The frame's tail."""
    function = """async (m, entries) => Promise.all(entries.map(async ({ K_own, EID, tick, status }) =>
        m.hex(await m.tailAt(m.unhex(K_own), m.unhex(EID), tick, status))))"""
    vectors = entries(path, "owned")
    assert ask(function, vectors) == [each["frame"][40:] for each in vectors]


@pytest.mark.parametrize("first", [0, 1, 7, 8, 255])
def test_a_days_key_may_begin_with_any_byte(ask, first: int) -> None:
    d = bytes([first]) + secret("any").ljust(32, b"x")[1:32]
    public = X25519PrivateKey.from_private_bytes(d).public_key().public_bytes_raw()
    assert ask("async (m, d) => m.hex(await m.publicOf(m.unhex(d)))", d.hex()) == public.hex()


OPEN_REPORTS = """async (m, entries) => Promise.all(entries.map(async ({ d, report }) => {
    const share = { endsS: 1, days: [{ day: 0, d: m.unhex(d), f: new Uint8Array(16) }] };
    const [held] = (await m.shareRing(share, 0)).days.values();
    try {
        const opened = await m.openReport(m.unhex(report), held);
        return { ...opened, tail: m.hex(opened.tail), eid: m.hex(held.eid) };
    } catch (wrong) {
        return wrong.code;
    }
}))"""


@FILES
def test_sealed_reports(ask, path: Path) -> None:
    vectors = entries(path, "sealed_report")
    for said, opened in zip(vectors, ask(OPEN_REPORTS, vectors), strict=True):
        assert opened == {
            "latE7": said["lat_e7"], "lonE7": said["lon_e7"], "unixS": said["unix_s"], "accuracyM": said["accuracy_m"],
            "rssiDbm": said["rssi_dbm"], "status": said["status"], "tail": said["tail"],
            "gatewayClass": said["gateway_class"], "eid": said["report"][2:34],
        }  # fmt: skip


def test_shares(ask) -> None:
    function = """async (m, entries) => Promise.all(entries.map(async ({ fragment }) => {
        const share = await m.readShare(`https://tags.example/share#${fragment}`);
        const days = share.days.map(({ day, d, f }) => [day, m.hex(d), m.hex(f)]);
        return [share.endsS, days, await m.packShare(share)];
    }))"""
    vectors = entries(FILE, "share")
    for said, (ends_s, days, packed) in zip(vectors, ask(function, vectors), strict=True):
        assert ends_s == said["ends_s"]
        wanted = decode_share(said["fragment"])
        assert days == [[each.day, each.d.hex(), each.f.hex()] for each in wanted.days]
        assert packed == said["fragment"]


def test_household(ask) -> None:
    function = """async (m, entries) => Promise.all(entries.map(async ({ d, sealed }) => {
        const { serial, tickZeroS, seed } = await m.openHandover(m.unhex(sealed), m.unhex(d));
        return [serial, tickZeroS, m.hex(seed)];
    }))"""
    vectors = entries(FILE, "household")
    assert ask(function, vectors) == [[each["serial"], each["tick_zero_s"], each["S_o"]] for each in vectors]


# --- What one makes, the other reads ----------------------------------------------------------------------


def test_python_opens_what_the_browser_seals(ask) -> None:
    function = """async (m, { P, reports }) => Promise.all(reports.map(async (report) =>
        m.hex(await m.sealReport({ ...report, tail: m.unhex(report.tail) }, m.unhex(P)))))"""
    extremes = [
        Report(-900_000_000, -1_800_000_000, 0, 0, -128, 0, bytes(4), 0),
        Report(900_000_000, 1_800_000_000, 2**32 - 1, 65_535, 127, 255, b"\xff" * 4, 255),
        TAG.heard(),
    ]
    given = [
        {
            "latE7": each.lat_e7, "lonE7": each.lon_e7, "unixS": each.unix_s, "accuracyM": each.accuracy_m,
            "rssiDbm": each.rssi_dbm, "status": each.status, "tail": each.tail.hex(),
            "gatewayClass": each.gateway_class,
        }
        for each in extremes
    ]  # fmt: skip
    public = wire_keys.day_public_key(TAG.seed, DAY)
    sealed = ask(function, {"P": public.hex(), "reports": given})
    d = wire_keys.day_private_key(TAG.seed, DAY)
    assert [open_report(bytes.fromhex(each), d) for each in sealed] == extremes


def test_the_browser_opens_what_python_seals_and_refuses_what_was_touched(ask) -> None:
    d = wire_keys.day_private_key(TAG.seed, DAY).hex()
    report = TAG.report()
    touched = [report[:at] + bytes((report[at] ^ 0x55,)) + report[at + 1 :] for at in range(17, 89)]
    asked = [{"d": d, "report": each.hex()} for each in (report, report[:-1], report + b"\0", *touched)]
    opened, short, long, *rest = ask(OPEN_REPORTS, asked)
    assert opened["tail"] == TAG.heard().tail.hex()
    assert {short, long} == {"report_shape"}
    assert ask(OPEN_REPORTS, [{"d": d, "report": TAG.of_another_version().hex()}]) == ["report_shape"]
    assert set(rest) == {"report_sealed"}


def test_points_of_small_order_open_nothing(ask) -> None:
    """Their shared secret anybody knows: a report under one could be read, and made, by everybody."""
    d, report = wire_keys.day_private_key(TAG.seed, DAY).hex(), TAG.report()
    for point in (bytes(32), b"\x01" + bytes(31)):
        wrong = report[:17] + point + report[49:]
        assert ask(OPEN_REPORTS, [{"d": d, "report": wrong.hex()}]) == ["report_sealed"]


def test_a_bundle_is_the_same(ask) -> None:
    function = """async (m, { seed, day }) => (await m.claimBundle(m.unhex(seed), day)).map((each) =>
        [each.day, m.hex(each.publicKey), m.hex(each.fetchHash)])"""
    made = ask(function, {"seed": TAG.seed.hex(), "day": DAY})
    bundle = keys.claim_bundle(TAG.secret, DAY)
    assert made == [[each.day, each.public_key.hex(), each.fetch_hash.hex()] for each in bundle]


def test_a_member_in_python_opens_what_the_browser_hands_over(ask) -> None:
    function = """async (m, { P, seed, serial }) =>
        m.hex(await m.sealHandover({ serial, tickZeroS: 4294967295, seed: m.unhex(seed) }, m.unhex(P)))"""
    member = secret("member")
    for serial in (0, 2**40 - 1, 8_000_000_017):
        given = {"P": wire_keys.public_of_day_key(member).hex(), "seed": TAG.seed.hex(), "serial": serial}
        assert open_handover(bytes.fromhex(ask(function, given)), member) == Handover(serial, 2**32 - 1, TAG.seed)


def test_a_share_that_is_none_or_has_ended(ask) -> None:
    function = """async (m, { texts, nowS }) => Promise.all(texts.map(async (text) => {
        try {
            return (await m.shareRing(await m.readShare(text), nowS)).days.size;
        } catch (wrong) {
            return wrong.code;
        }
    }))"""
    text = keys.share_days(TAG.secret, DAY, 2, NOON_S)
    changed = [text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :] for at in range(0, len(text), 7)]
    cut = [text[:at] for at in range(0, len(text), 7)]
    last = [text[:-1] + symbol for symbol in SYMBOLS if symbol != text[-1]]
    wrong = [*last, "", "#", "ä" * 100, text + "=", text + "A", "A" * 82, "-" * 2_002, *changed, *cut]
    got = ask(function, {"texts": [f" {text}\n", *wrong], "nowS": NOON_S - 1})
    assert got[0] == 2
    assert set(got[1:]) == {"share_malformed"}
    assert ask(function, {"texts": [text], "nowS": NOON_S}) == ["share_ended"]
