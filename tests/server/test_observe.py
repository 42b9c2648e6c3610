"""The log never holds a secret, whichever way somebody puts one in."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from server.observe import HIDDEN, metrics, redact

TOKEN = "hsp_" + "a" * 43
ENROL = "HS1." + "b" * 80


@pytest.mark.parametrize(
    ("event", "kept", "gone"),
    [
        ({"password": "hunter2"}, [], ["hunter2"]),
        ({"user_password": "hunter2", "event": "x"}, ["x"], ["hunter2"]),
        ({"headers": {"Authorization": f"Bearer {TOKEN}", "accept": "*/*"}}, ["*/*"], [TOKEN]),
        ({"event": f"a token {TOKEN} in the words"}, ["a token hsp_"], [TOKEN]),
        ({"argv": ["gateway", "enrol", ENROL]}, ["enrol"], [ENROL]),
        ({"url": "postgresql://me:hunter2@db:5432/x"}, ["postgresql://me:", "@db:5432/x"], ["hunter2"]),
        ({"error": "could not connect to mqtt://Server:p%40ss@b"}, ["mqtt://Server:", "@b"], ["p%40ss"]),
        ({"frame": b"\x01\x02\x03"}, ["3 bytes"], ["01"]),
        ({"deep": {"list": [{"k_lot": "ff" * 16}]}}, [], ["ff" * 16]),
        ({"url": "http://127.0.0.1:8000/x", "token": None, "serial": 5}, ["8000", "5", "None"], [HIDDEN]),
        ({"text": "y" * 5_000}, [], ["y" * 3_000]),
    ],
)
def test_redaction(event: dict[str, object], kept: list[str], gone: list[str]) -> None:
    said = str(redact(None, "info", dict(event)))
    assert all(text in said for text in kept), said
    assert not any(text in said for text in gone), said


def run(log_format: str) -> list[str]:
    program = (
        "import logging, structlog\n"
        "from server.observe import set_up_log\n"
        f"set_up_log({log_format!r})\n"
        f"structlog.get_logger('x').info('signed_in', password='hunter2', note='{TOKEN}')\n"
        f"logging.getLogger('lib').warning('from a library with %s', '{TOKEN}')\n"
        "try:\n    raise ValueError('mqtt://u:hunter2@b')\n"
        "except ValueError:\n    structlog.get_logger('x').error('broke', exc_info=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_lines() -> None:
    lines = [json.loads(line) for line in run("json")]
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert lines[0]["event"] == "signed_in"
    assert "ValueError" in lines[2]["exception"]
    assert "hunter2" not in json.dumps(lines)
    assert TOKEN not in json.dumps(lines)


def test_for_people() -> None:
    said = "\n".join(run("console"))
    assert "signed_in" in said
    assert "from a library" in said
    assert "hunter2" not in said
    assert TOKEN not in said


def test_metrics() -> None:
    text, kind = metrics()
    assert kind.startswith("text/plain")
    assert b"python_info" in text
