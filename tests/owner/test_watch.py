"""`python -m owner watch` as a process against a real server: lines as they come, taken up again, ended as asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from owner import words
from tests.server.web.streams import Web, heard, until
from tests.server.web.town import Somebody, Tag, Town


@pytest.fixture
def town(engine) -> Town:
    made = Town(engine)
    made.gateway("gw")
    return made


@pytest.fixture
def ann(town: Town) -> Somebody:
    return town.owner()


@pytest.fixture
def tag(town: Town, ann: Somebody) -> Tag:
    made = town.tag()
    town.claim(ann, made)
    return made


@contextmanager
def watching(port: int, token: str, serial: int, *options: str, root: Path) -> Iterator[subprocess.Popen[str]]:
    line = [sys.executable, "-m", "owner", "watch", str(serial), *options]
    env = {**os.environ, "HEARSIGHT_SERVER": f"http://127.0.0.1:{port}", "HEARSIGHT_TOKEN": token, "TZ": "UTC"}
    child = subprocess.Popen(line, cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        child.stderr.close()


def line_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def test_a_line_for_what_is_known_and_one_for_each_sighting(
    town: Town, ann: Somebody, tag: Tag, free_port: int, root: Path
) -> None:
    with Web(town.house, free_port), watching(free_port, ann.token, tag.serial, "--count", "2", root=root) as child:
        assert line_of(child).startswith(f"Tag {tag.serial}: ")
        for _ in range(2):
            at = heard(town, tag.serial)
            told = line_of(child)
            assert f"heard Sun 22 Nov {at[11:19]} within" in told
            assert "48.12346, 11.65432 (reached us" in told
        assert child.communicate(timeout=60) == ("", "")
        assert child.returncode == 0


def test_a_name_may_hold_what_some_take_for_the_end_of_a_line(
    town: Town, ann: Somebody, tag: Tag, free_port: int, root: Path
) -> None:
    name = "my\u2028\x85\x0cbicycle"
    ann.put(f"/tags/{tag.serial}/name", {"name": name})
    options = ("--json", "--for", "20")
    with Web(town.house, free_port), watching(free_port, ann.token, tag.serial, *options, root=root) as child:
        said = line_of(child)
        assert said, child.communicate()[1]
        assert json.loads(said)["tag"]["name"] == "my\u2028\ufffd\ufffdbicycle", "and no command for a terminal"


def test_json_goes_on_after_a_restart_without_telling_anything_twice(
    town: Town, ann: Somebody, tag: Tag, free_port: int, root: Path
) -> None:
    with watching(free_port, ann.token, tag.serial, "--json", "--count", "2", root=root) as child:
        # It started before the server: whoever mistyped the address wants to know at once.
        assert child.wait(60) == 1
    with Web(town.house, free_port):
        first = watching(free_port, ann.token, tag.serial, "--json", "--count", "2", root=root)
        child = first.__enter__()
        assert json.loads(line_of(child))["event"] == "state"
        heard(town, tag.serial)
        before = json.loads(line_of(child))
        assert before["event"] == "sighting"
    assert json.loads(line_of(child)) == {"event": "paused", "id": "", "tag": None}
    at = heard(town, tag.serial)
    with Web(town.house, free_port):
        after = json.loads(line_of(child))
        assert (after["event"], after["tag"]["last"]["heard_at"]) == ("sighting", at)
        assert after["id"] != before["id"]
        assert child.wait(60) == 0
    first.__exit__(None, None, None)


def test_ctrl_c_and_the_end_of_the_time_end_it_quietly(
    town: Town, ann: Somebody, tag: Tag, free_port: int, root: Path
) -> None:
    with Web(town.house, free_port) as web:
        with watching(free_port, ann.token, tag.serial, root=root) as child:
            line_of(child)
            child.send_signal(signal.SIGINT)
            assert child.communicate(timeout=60) == ("", "")
            assert child.returncode == 0
        until(lambda: web.live._by_account.total() == 0)
        with watching(free_port, ann.token, tag.serial, "--for", "2", root=root) as child:
            said, wrong = child.communicate(timeout=60)
            assert (len(said.splitlines()), wrong, child.returncode) == (1, "", 0)


def test_a_refusal_and_the_end_of_a_right_are_told_in_the_servers_words(
    town: Town, ann: Somebody, tag: Tag, free_port: int, root: Path
) -> None:
    with Web(town.house, free_port):
        with watching(free_port, ann.token, 999_999, root=root) as child:
            assert "(tag_unknown)" in child.communicate(timeout=60)[1]
            assert child.returncode == 1
        with watching(free_port, ann.token, tag.serial, root=root) as child:
            line_of(child)
            ann.post(f"/tags/{tag.serial}/release")
            heard(town, tag.serial)
            assert "(tag_unknown)" in child.communicate(timeout=60)[1]
            assert child.returncode == 1


def test_heard_without_a_place_is_said() -> None:
    place = {"accuracy": "within 35 m", "lat": 1.0, "lon": 2.0, "reached_us_at": "2026-11-22T12:00:20Z"}
    tag = {"name": "Bicycle", "heard_at": "2026-11-22T12:05:00Z", "last": {**place, "heard_at": "2026-11-22T12:00:00Z"}}
    assert "without a place; the last one is of" in words.hearing(tag)
    assert "no place is known" in words.hearing(tag | {"last": None})
