"""Settings: what is not known is refused with the nearest name; a wrong value is named without being repeated."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.refusal import Refusal
from server.settings import Settings, load, without_userinfo


def refused(environ: dict[str, str]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        load(environ)
    return caught.value


def test_nothing_set() -> None:
    told = load({"PATH": "/bin"})
    assert told.data == Path(".hearsight").absolute()
    assert (told.host, told.port, told.base_url) == ("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert told.database_url is None
    assert told.public_mqtt_url is None


def test_the_base_url_follows_the_port() -> None:
    assert load({"HEARSIGHT_PORT": "8080"}).base_url == "http://127.0.0.1:8080"
    assert load({"HEARSIGHT_BASE_URL": "https://x.example/"}).base_url == "https://x.example"


@pytest.mark.parametrize(
    ("name", "near"),
    [("HEARSIGHT_PROT", "HEARSIGHT_PORT"), ("HEARSIGHT_MASTERKEY", "HEARSIGHT_MASTER_KEY"), ("HEARSIGHT_FOO", "")],
)
def test_an_unknown_one_is_refused_with_the_nearest(name: str, near: str) -> None:
    told = refused({name: "1"})
    assert told.code == "setting_unknown"
    assert name in told.message
    assert near in told.do


def test_what_belongs_to_others_is_left_alone() -> None:
    others = {"HEARSIGHT_GATEWAY_DATA": "x", "HEARSIGHT_TOKEN": "hsp_x", "HEARSIGHT_SERVER": "http://x"}
    assert load(others) == load({})


def test_empty_counts_as_unset() -> None:
    assert load({"HEARSIGHT_PORT": "", "HEARSIGHT_SMTP_URL": ""}) == load({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"), ("PORT", "x"), ("PORT", "70000"), ("NETWORK_ID", "00"), ("NETWORK_ID", "1ff"),
        ("MQTT_URL", "http://x"), ("DATABASE_URL", "mysql://user:hunter2@x"), ("MASTER_KEY", "c2hvcnQ="),
        ("LOG_FORMAT", "xml"), ("RETENTION_DAYS", "0"), ("RETENTION_DAYS", "1000000"),
        ("PRIVATE_REPORTS_DAYS", "1"), ("PRIVATE_REPORTS_DAYS", "32"), ("PRIVATE_REPORTS_PER_EID", "0"),
        ("POLICY_PROFILE", "none"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_and_not_repeated(name: str, value: str) -> None:
    told = refused({f"HEARSIGHT_{name}": value})
    assert told.code == "setting_invalid"
    assert f"HEARSIGHT_{name}" in told.message
    assert "hunter2" not in told.message + told.do


def test_gateways_are_never_told_a_password() -> None:
    told = load({"HEARSIGHT_MQTT_URL": "mqtts://Server:pass%40word@broker:8883"})
    assert told.public_mqtt_url == "mqtts://broker:8883"
    assert load({"HEARSIGHT_MQTT_PUBLIC_URL": "mqtts://out:8883"}).public_mqtt_url == "mqtts://out:8883"
    assert without_userinfo("postgresql://u:p@h/d?host=/tmp") == "postgresql://h/d?host=/tmp"


def run(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", *argv], env=os.environ | env, capture_output=True, text=True, check=False
    )


def test_the_command_line_says_it_and_ends_with_2() -> None:
    done = run("settings", HEARSIGHT_PROT="1")
    assert done.returncode == 2
    assert "There is no setting HEARSIGHT_PROT." in done.stderr
    assert "HEARSIGHT_PORT" in done.stderr
    assert "(setting_unknown)" in done.stderr


def test_printed_settings_hold_no_secret() -> None:
    key = base64.b64encode(b"k" * 32).decode()
    done = run(
        "settings", "--json", HEARSIGHT_MASTER_KEY=key, HEARSIGHT_MQTT_URL="mqtt://Server:hunter2@b",
        HEARSIGHT_DATABASE_URL="postgresql://me:hunter2@db/x", HEARSIGHT_SMTP_URL="smtp://me:hunter2@mail",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout
    assert key not in done.stdout
    assert "mqtt://b" in done.stdout
    for name in Settings.__dataclass_fields__:
        assert f"HEARSIGHT_{name.upper()}" in done.stdout
