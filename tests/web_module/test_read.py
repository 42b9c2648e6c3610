"""The browser believes and refuses what Python does: the same reports to both, honest ones and every attack."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from owner.keys import DAY_S, Ring, read_share, share_days, share_ring
from owner.reports import AHEAD_S, DAY_SLACK_S, Found, Why, read
from tests.owner.tag import BERLIN, DAY, NOON_S, PARIS, POTSDAM, PrivateTag, secret
from wire import keys

pytestmark = pytest.mark.browser

NOW_S = NOON_S + 7_200
CLOCK_LOST = 0x08
TAGS = [PrivateTag(), PrivateTag(secret("late"), zero_s=NOON_S - 40 * DAY_S + 77)]

READ = """async (m, { seed, share, firstDay, days, tickZeroS, reports, nowS }) => {
    const ring = share ? await m.shareRing(await m.readShare(share), nowS)
        : await m.ownerRing(m.unhex(seed), firstDay, days, tickZeroS);
    const found = await m.read(reports.map(m.unhex), ring, nowS);
    return { ...found, points: found.points.map((each) => ({ ...each, tail: m.hex(each.tail) })) };
}"""


def shown(found: Found) -> dict[str, Any]:
    """What Python found, in the browser's words."""
    return {
        "points": sorted((p.unix_s, p.lat, p.lon, p.accuracy_m, p.rssi_dbm, p.gateway_class) for p in found.points),
        "refused": sorted((each.why.value, each.day or -1, each.unix_s or -1) for each in found.refused),
        "tails": found.tails_checked,
        "empty": found.empty,
    }


def said(found: dict[str, Any]) -> dict[str, Any]:
    names = ("unixS", "lat", "lon", "accuracyM", "rssiDbm", "gatewayClass")
    return {
        "points": sorted(tuple(point[name] for name in names) for point in found["points"]),
        "refused": sorted((each["why"], each.get("day") or -1, each.get("unixS") or -1) for each in found["refused"]),
        "tails": found["tailsChecked"],
        "empty": found["empty"],
    }


def scene(tag: PrivateTag, dice: random.Random) -> list[bytes]:
    """A day's worth of honest reports, and everything that somebody may do to them, at random."""
    mine = keys.eid(keys.day_public_key(tag.seed, DAY))
    stranger = PrivateTag(secret("stranger"))

    def moment() -> int:
        return NOON_S - dice.randrange(10 * 3_600)

    def old(back_s: int) -> bytes:
        at_s = moment()
        return tag.report(at_s, sent_s=at_s - back_s)

    def moved(report: bytes) -> bytes:
        return report[:1] + mine + report[17:]

    at_s = moment()
    kinds = [
        lambda: tag.report(moment(), rssi_dbm=-dice.randrange(40, 99)),
        lambda: tag.report(moment(), dice.choice([POTSDAM, BERLIN])),
        lambda: tag.report(moment(), PARIS),
        lambda: old(dice.choice([900, 1_800, 2_699, 2_700, 5_000, 86_400])),
        lambda: old(-dice.choice([900, 1_800, 2_700, 7_000])),
        lambda: tag.changed(at_s, tail=dice.randbytes(4)),
        lambda: tag.changed(at_s, status=dice.randrange(256)),
        lambda: tag.changed(at_s, lat_e7=dice.choice([900_000_000, 900_000_001, -(2**31)])),
        lambda: tag.report(NOW_S + AHEAD_S + dice.choice([0, 1])),
        lambda: tag.report((DAY + 1) * DAY_S + DAY_SLACK_S - dice.choice([0, 1]), day=DAY),
        lambda: tag.report(DAY * DAY_S - DAY_SLACK_S - dice.choice([0, 1]), day=DAY),
        lambda: tag.report(at_s, day=DAY - 1, sent_s=at_s - DAY_S, status=CLOCK_LOST),
        lambda: tag.report(at_s, sent_s=at_s + 5_000, status=CLOCK_LOST),
        tag.of_another_version,
        lambda: stranger.report(moment()),
        lambda: moved(stranger.report(moment())),
        lambda: moved(tag.report(moment() - DAY_S * dice.randrange(1, 4))),
        lambda: b"\x01" + mine + dice.randbytes(72),
        lambda: dice.randbytes(dice.choice([0, 1, 88, 89, 90])),
    ]
    made = [tag.report(moment()) for _ in range(12)] + [dice.choice(kinds)() for _ in range(90)]
    made += [dice.choice(made) for _ in range(10)]
    dice.shuffle(made)
    return made


@pytest.mark.parametrize("tag", TAGS, ids=["from 1970", "from the claim"])
@pytest.mark.parametrize("seed", range(4))
def test_both_believe_the_same(ask, tag: PrivateTag, seed: int) -> None:
    dice = random.Random(seed)
    reports = scene(tag, dice)
    now_s = NOW_S + dice.choice([0, 2 * DAY_S])
    asked = {
        "seed": tag.seed.hex(), "firstDay": DAY - 7, "days": 8, "tickZeroS": tag.zero_s,
        "reports": [each.hex() for each in reports], "nowS": now_s,
    }  # fmt: skip
    assert said(ask(READ, asked)) == shown(read(reports, tag.ring(), now_s))


def test_the_scenes_hold_every_reason() -> None:
    """Else the test above would compare less than it seems to."""
    dice = random.Random(0)
    reasons = {each.why for _ in range(4) for each in read(scene(TAGS[0], dice), TAGS[0].ring(), NOW_S).refused}
    assert reasons == set(Why)


def test_every_reason_has_words(ask) -> None:
    reasons, empty = ask("(m) => [m.REASONS, m.EMPTY]")
    assert set(reasons) == {each.value for each in Why}
    assert set(empty) == {"no_days", "nobody_heard", "all_refused"}
    assert all(text.endswith(".") for text in (*reasons.values(), *empty.values()))


def test_a_share_and_nothing(ask) -> None:
    tag = TAGS[0]
    text = share_days(tag.secret, DAY, 1, NOW_S + 1)
    reports = [tag.report(), tag.changed(tail=bytes(4)), tag.report(NOON_S - DAY_S)]
    rings: list[tuple[list[bytes], Ring]] = [
        (reports, share_ring(read_share(text), NOW_S)),
        ([], share_ring(read_share(text), NOW_S)),
    ]
    for some, ring in rings:
        asked = {"share": text, "reports": [each.hex() for each in some], "nowS": NOW_S}
        assert said(ask(READ, asked)) == shown(read(some, ring, NOW_S))


def test_the_worker_opens_and_tells_its_progress(page: Page) -> None:
    tag = TAGS[0]
    reports = [tag.report(NOON_S + n) for n in range(150)]
    answers = page.evaluate(
        """async ({ seed, share, reports, firstDay, nowS }) => {
            const { unhex } = await import("/private.js");
            const worker = new Worker("/private-worker.js", { type: "module" });
            const ask = (message) => new Promise((resolve, reject) => {
                const told = [];
                worker.onerror = () => reject(new Error("the worker broke"));
                worker.onmessage = ({ data }) => {
                    told.push(data);
                    if (data.found || data.refused) resolve(told);
                };
                worker.postMessage({ nowS, reports: reports.map(unhex), ...message });
            });
            const mine = await ask({ id: 1, seed: unhex(seed), firstDay, days: 8, tickZeroS: 0 });
            const ended = await ask({ id: 2, share });
            const wrong = await ask({ id: 3, share: "none" });
            worker.terminate();
            return [mine, ended, wrong];
        }""",
        {
            "seed": tag.seed.hex(), "reports": [each.hex() for each in reports], "firstDay": DAY - 7, "nowS": NOW_S,
            "share": share_days(tag.secret, DAY, 1, NOW_S),
        },
    )  # fmt: skip
    mine, ended, wrong = answers
    assert [(each["done"], each["of"]) for each in mine[:-1]] == [(64, 150), (128, 150), (150, 150)]
    assert len(mine[-1]["found"]["points"]) == 150
    assert ended == [{"id": 2, "refused": "share_ended"}]
    assert wrong == [{"id": 3, "refused": "share_malformed"}]


def test_it_stays_small_and_needs_no_library(root_of_static: Path) -> None:
    size = {name: (root_of_static / name).stat().st_size for name in ("private.js", "private-worker.js")}
    assert sum(size.values()) <= 10 * 1024, size
    for path in root_of_static.glob("private*.js"):
        imported = [line for line in path.read_text().splitlines() if line.startswith("import")]
        assert all('from "./private' in line for line in imported), path.name
