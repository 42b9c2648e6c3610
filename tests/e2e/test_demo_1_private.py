"""The whole way of a private tag on the running product: claimed by code and button through a gateway, left behind,
heard by two gateways, read by its owner in a terminal and in a browser, and by nobody else.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, expect

from owner.keyfile import Kept, read
from owner.keys import day_of
from owner.phrase import phrase_of
from tests.conftest import ROOT
from tests.e2e.conftest import Demo
from tests.e2e.tabs import tab
from tests.fixtures.wiretap import Wiretap, shape_of
from wire import keys
from wire.claim_code import decode_claim_code

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.mosquitto,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("demo", ["mosquitto"], indirect=True),
]
AGENT, FRIEND, TAG = "ash.agent@example.org", "wren.lindqvist@example.org", 7001002
HOME, CAFE = (35.6130, -82.5510), (35.6137, -82.5516)
# What anybody who read a place of it would have read.
TRACES = ("35.61", "82.55")
PATIENCE_S = 150
CLAIM_S = 240


@dataclass
class Journey:
    """A private tag on the running demo, with all that its owner holds."""

    demo: Demo
    folder: Path
    http: Wiretap
    k_claim: bytes

    @property
    def kept(self) -> Kept:
        return read(self.folder / "hearsight" / "tags" / f"{TAG}.json")

    def owner(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Her terminal; every byte to and from the server is listened to."""
        env = {
            **os.environ,
            "HEARSIGHT_SERVER": f"http://127.0.0.1:{self.http.port}",
            "HEARSIGHT_TOKEN": self.demo.memory[f"token {FRIEND}"],
            "XDG_CONFIG_HOME": str(self.folder),
            "COLUMNS": "120",
        }
        line = [sys.executable, "-m", "owner", *command]
        return subprocess.run(
            line, cwd=ROOT, env=env, input=stdin, capture_output=True, text=True, check=False, timeout=CLAIM_S
        )

    def radio(self, *command: str) -> None:
        """A hand that reaches into the simulated air."""
        line = [sys.executable, "-m", "firmware_sim", *command, "--data", str(self.demo.data / "air")]
        subprocess.run(line, cwd=ROOT, check=True, capture_output=True, timeout=30)

    @contextmanager
    def pressing(self) -> Iterator[None]:
        """A thumb on the tag's button: each press is good for a minute."""
        done = threading.Event()

        def press() -> None:
            while not done.is_set():
                self.radio("press", str(TAG))
                done.wait(20)

        thumb = threading.Thread(target=press)
        thumb.start()
        try:
            yield
        finally:
            done.set()
            thumb.join()

    def places(self) -> list[tuple[float, float]]:
        """Every place that her keys open and her client believes."""
        told = self.owner("history", str(TAG), "--as", "geojson")
        features: list[dict[str, Any]] = json.loads(told.stdout)["features"] if told.returncode == 0 else []
        found = [each["geometry"]["coordinates"] for each in features if each["geometry"]["type"] == "Point"]
        return [(lat, lon) for lon, lat in found]

    def wait_for(self, *wanted: tuple[float, float]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not set(wanted) <= set(places := self.places()):
            assert time.monotonic() < until, f"{places}; {self.owner('locate', str(TAG)).stderr}"
            time.sleep(2)


@pytest.fixture(scope="module")
def journey(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """The friend gave her tag up, and claims it anew: it forgets her, and gets other keys."""
    with (demo.data / "factory" / "2026-G" / "codes.csv").open(newline="") as file:
        code = next(row["code"] for row in csv.DictReader(file) if int(row["serial"]) == TAG)
    here = Journey(demo, tmp_path_factory.mktemp("friend"), Wiretap(demo.port), decode_claim_code(code))
    demo.api(FRIEND).post(f"/tags/{TAG}/release").raise_for_status()
    with here.pressing():
        told = here.owner("claim", "--private", "--gateway", "home-elm", stdin=f"{code}\n")
    assert told.returncode == 0, told.stdout + told.stderr
    here.radio("move", str(TAG), "home-elm,cafe-merrimon")
    here.radio("away", str(TAG))
    yield here
    here.http.close()


def test_her_own_keys_show_where_two_gateways_heard_it(journey: Journey) -> None:
    journey.wait_for(HOME, CAFE)
    told = json.loads(journey.owner("locate", str(TAG), "--json").stdout)
    assert told["private"]
    assert told["empty"] is None
    assert abs(told["last"]["lat"] - HOME[0]) < 0.001


def test_a_browser_shows_it_after_the_words_were_typed(journey: Journey, browser: Browser) -> None:
    journey.wait_for(HOME)
    with tab(browser, journey.demo, FRIEND) as page:
        page.goto(f"{journey.demo.url}/t/{TAG}")
        page.fill("#phrase", phrase_of(journey.kept.secret.seed))
        page.click("#phrase-form button")
        expect(page.locator("main")).to_contain_text("35.613", timeout=30_000)
        expect(page.locator("main")).to_contain_text("Heard")


def test_support_reads_activated_and_heard_and_no_place(journey: Journey) -> None:
    journey.wait_for(HOME)
    agent = journey.demo.api(AGENT)
    life = agent.get(f"/support/tags/{TAG}").json()
    assert life["private"]
    assert life["states"][-1]["step"] == "activated"
    assert life["heard"]
    assert life["last_heard_at"]
    for path in (f"/support/tags/{TAG}", f"/find?q={TAG}"):
        text = agent.get(path).text
        assert not [trace for trace in TRACES if trace in text], path


def test_the_server_tells_its_owner_that_it_was_heard_and_not_where(journey: Journey) -> None:
    journey.wait_for(HOME)
    answer = journey.demo.api(FRIEND).get(f"/tags/{TAG}")
    assert answer.json()["heard_at"]
    assert answer.json()["last"] is None
    assert not [trace for trace in TRACES if trace in answer.text]


def test_the_database_holds_no_place_of_it(journey: Journey) -> None:
    journey.wait_for(HOME, CAFE)
    socket_folder = (journey.demo.data / "server" / "postgres" / "postmaster.pid").read_text().splitlines()[4]
    with psycopg.connect(host=socket_folder, dbname="hearsight", user="hearsight") as base:
        asked = "select private, (select count(*) from sightings s where s.serial = o.serial and s.heard_at >= o.since)"
        row = base.execute(f"{asked} from ownership o where serial = %s and until is null", (TAG,)).fetchone()
        assert row == (True, 0)
        sealed = base.execute(
            "select sealed from sealed_reports r join day_keys d using (eid) join ownership o on o.no = d.ownership_no"
            " where o.serial = %s", (TAG,),
        ).fetchall()  # fmt: skip
    assert len(sealed) >= 2


def test_no_secret_of_it_is_in_the_database_the_logs_or_the_traffic(journey: Journey) -> None:
    """Raw files of the database with their log of writes, every log, and both lines: her client's, the gateways'."""
    journey.wait_for(HOME)
    seed, today = journey.kept.secret.seed, day_of(int(time.time()))
    days = range(today - 1, today + 3)
    secrets = {
        "S_o": seed,
        "K_own": keys.own_key(seed),
        "K_claim": journey.k_claim,
        "signing seed": keys.owner_signing_seed(seed),
        **{f"d of {day}": keys.day_private_key(seed, day) for day in days},
    }
    assert journey.demo.tap is not None
    server = journey.demo.data / "server"
    places = {
        "her client's line": journey.http.heard(),
        "the gateways' lines": journey.demo.tap.heard(),
        "the logs": b"".join(each.read_bytes() for each in (journey.demo.data / "logs").iterdir()),
        **{str(each.relative_to(server)): each.read_bytes() for each in server.rglob("*") if each.is_file()},
    }
    public = keys.day_public_key(seed, today)
    assert shape_of(public, b"".join(places.values())), "the search finds what is public"
    assert str(TAG).encode() in places["her client's line"]
    assert b"/home-elm/command" in places["the gateways' lines"]
    found = {
        (name, where): shape
        for where, heard in places.items()
        for name, secret in secrets.items()
        if (shape := shape_of(secret, heard))
    }
    assert found == {}
