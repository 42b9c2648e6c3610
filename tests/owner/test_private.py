"""`python -m owner phrase|share|open` as programs: words, shares and files of reports without a server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from owner import keyfile
from owner.keys import TagSecret, day_of, share_days
from tests.owner.tag import PrivateTag

TAG = PrivateTag()
Done = subprocess.CompletedProcess[str]


@pytest.fixture
def owner(root: Path, tmp_path: Path):
    def run(*arguments: str, typed: str = "") -> Done:
        env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "TZ": "UTC", "COLUMNS": "160"}
        line = [sys.executable, "-m", "owner", *arguments]
        return subprocess.run(line, cwd=root, env=env, input=typed, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def now_s() -> int:
    return int(time.time())


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    return str(keyfile.save(tmp_path / "mine", TAG.secret))


def test_a_new_phrase_is_kept_and_read_again(owner, tmp_path: Path) -> None:
    made = owner("phrase", "new", "--keep", "17")
    assert made.returncode == 0, made.stderr
    path = tmp_path / "hearsight" / "tags" / "17.json"
    words = "\n".join(made.stdout.splitlines()[:6])
    assert str(path) in made.stdout
    again = owner("phrase", "check", "--keep", "17", typed=words)
    assert again.returncode == 0, again.stderr
    assert "whole" in again.stdout
    assert keyfile.load(path).serial == 17
    assert owner("phrase", "new").stdout != owner("phrase", "new").stdout
    assert owner("phrase", "check", "--keep", "17", typed="zoo " * 23 + "vote").returncode == 1


def test_words_of_a_secret_that_is_not_kept_are_not_shown(owner, tmp_path: Path) -> None:
    """Somebody would write them down, and they would open nothing."""
    before = keyfile.save(tmp_path / "hearsight" / "tags", TagSecret(17, TAG.secret.seed)).read_bytes()
    done = owner("phrase", "new", "--keep", "17")
    assert (done.returncode, done.stdout) == (1, "")
    assert "(keys_exist)" in done.stderr
    assert (tmp_path / "hearsight" / "tags" / "17.json").read_bytes() == before


def test_a_wrong_phrase_is_refused_without_repeating_it(owner) -> None:
    done = owner("phrase", "check", typed="abandon " * 24)
    assert done.returncode == 1
    assert "(phrase_checksum)" in done.stderr
    assert "abandon" not in done.stdout + done.stderr
    assert owner("phrase", "words", "zo").stdout == "zone\nzoo\n"
    assert owner("phrase", "words", "xyz").returncode == 1


def test_a_share_tells_its_days_and_no_key(owner, now_s: int) -> None:
    today = day_of(now_s)
    text = share_days(TAG.secret, today - 1, 2, now_s + 7_200)
    for done in (owner("share", "read", text), owner("share", "read", "-", typed=f"https://x.example/s#{text}\n")):
        assert done.returncode == 0, done.stderr
        assert "Days (UTC): 2, " in done.stdout
        assert re.search(r"read for (2 h|1 h 5\d min) more", done.stdout), done.stdout
        for held in (TAG.secret.day(today), TAG.secret.day(today - 1)):
            assert held.d.hex() not in done.stdout
            assert held.f.hex() not in done.stdout
    ended = owner("share", "read", share_days(TAG.secret, today - 1, 2, now_s - 1))
    assert ended.returncode == 1
    assert "(share_ended)" in ended.stderr
    assert "(share_malformed)" in owner("share", "read", text[:-1]).stderr


@pytest.mark.parametrize("as_hex", [True, False])
def test_a_file_of_reports_is_opened(owner, now_s: int, key_file: str, tmp_path: Path, as_hex: bool) -> None:
    reports = [TAG.report(now_s - 600), TAG.report(now_s - 300, rssi_dbm=-71), TAG.changed(now_s - 60, tail=bytes(4))]
    file = tmp_path / "reports"
    file.write_bytes("\n".join(each.hex() for each in reports).encode() if as_hex else b"".join(reports))
    done = owner("open", str(file), "--keys", key_file)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("52.52000, 13.40500") == 2
    assert "-71 dBm" in done.stdout
    assert "Not believed (forged)" in done.stderr
    made = json.loads(owner("open", str(file), "--keys", key_file, "--as", "geojson", "--name", "bag").stdout)
    assert [each["properties"]["tag"] for each in made["features"]] == ["bag", "bag"]
    for form in ("gpx", "csv"):
        assert "52.52" in owner("open", str(file), "--keys", key_file, "--as", form).stdout


def test_a_file_is_opened_with_a_share(owner, now_s: int, tmp_path: Path) -> None:
    file = tmp_path / "reports"
    file.write_bytes(TAG.report(now_s - 60))
    text = share_days(TAG.secret, day_of(now_s - 60), 1, now_s + 600)
    done = owner("open", str(file), "--share", "-", typed=text)
    assert done.returncode == 0, done.stderr
    assert "52.52000" in done.stdout
    assert "nobody but the owner" in done.stderr


def test_no_place_says_why_and_ends_with_1(owner, now_s: int, key_file: str, tmp_path: Path) -> None:
    file = tmp_path / "reports"
    file.write_text("")
    done = owner("open", str(file), "--keys", key_file)
    assert (done.returncode, done.stdout) == (1, "")
    assert "No locations, because no receiver reported the tag" in done.stderr


def test_what_cannot_be_opened_is_told(owner, key_file: str, tmp_path: Path) -> None:
    file = tmp_path / "reports"
    file.write_text("00\n")
    assert "(file_malformed)" in owner("open", str(file), "--keys", key_file).stderr
    assert "(file_unreadable)" in owner("open", str(tmp_path), "--keys", key_file).stderr
    assert "(keys_missing)" in owner("open", str(file)).stderr
    assert "(keys_missing)" in owner("open", str(file), "--keys", key_file, "--share", "x").stderr
    Path(key_file).chmod(0o644)
    assert "(keys_exposed)" in owner("open", str(file), "--keys", key_file).stderr
