"""The owner's client in a terminal, on the running demo, and support's commands at the server's machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import Demo

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]
CUSTOMER, BAD, TAG = "rowan.ellery@example.org", "HS-2016-0311", "7001001"


def owner(
    demo: Demo, *command: str, token: str | None = None, patience_s: float = 60
) -> subprocess.CompletedProcess[str]:
    mine = demo.memory[f"token {CUSTOMER}"] if token is None else token
    env = {**os.environ, "HEARSIGHT_SERVER": demo.url, "HEARSIGHT_TOKEN": mine, "COLUMNS": "120"}
    line = [sys.executable, "-m", "owner", *command]
    return subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=patience_s)


def test_an_owner_reads_where_the_tag_is_and_was(demo: Demo) -> None:
    demo.wait_heard(CUSTOMER, int(TAG))
    told = owner(demo, "where", TAG)
    assert told.returncode == 0, told.stderr
    assert "heard" in told.stdout
    assert "35.61" in told.stdout
    assert "managed" in told.stdout
    assert json.loads(owner(demo, "tags", "--json").stdout)[0]["serial"] == int(TAG)
    assert "35.61" in owner(demo, "history", TAG).stdout


def test_an_owner_sees_it_being_heard_at_this_moment(demo: Demo) -> None:
    """From the simulated radio to the terminal: a window of twenty seconds, then the way here."""
    told = owner(demo, "watch", TAG, "--count", "1", "--for", "110", "--json", patience_s=120)
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["state", "sighting"], told.stderr
    assert f"-m owner watch {TAG}" in demo.said()


def test_the_receipt_is_told_as_the_command_that_checks_it(demo: Demo) -> None:
    line = owner(demo, "receipt", TAG).stdout.split()
    assert line[:2] == ["python", "-m"]
    checked = subprocess.run([sys.executable, *line[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_lost_and_found_again(demo: Demo) -> None:
    assert "message when it is heard" in owner(demo, "lost", TAG, "--message", "Call me").stdout
    assert "reported lost" in owner(demo, "where", TAG).stdout
    assert owner(demo, "found", TAG).returncode == 0


@pytest.mark.parametrize(
    ("token", "code"), [("", "token_missing"), ("hsp_wrong", "token_invalid")]
)  # fmt: skip
def test_a_refusal_is_told_with_its_code(demo: Demo, token: str, code: str) -> None:
    refused = owner(demo, "tags", token=token)
    assert refused.returncode == 1
    assert f"({code})" in refused.stderr


def test_anothers_tag_is_no_tag(demo: Demo) -> None:
    refused = owner(demo, "where", "7000401")
    assert "(tag_unknown)" in refused.stderr


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("find", "dana.whitlock@example.org"), f"order {BAD}"),
        (("order", BAD), "R-17"),
        (("why", BAD), "refuted"),
        (("tag", TAG), "activated since"),
    ],
)
def test_support_asks_at_the_machine_and_reads_no_place(demo: Demo, command: tuple[str, ...], says: str) -> None:
    env = {**os.environ, "HEARSIGHT_DATA": str(demo.data / "server")}
    line = [sys.executable, "-m", "server", *command]
    told = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert says in told.stdout, told.stderr
    assert "35.61" not in told.stdout
