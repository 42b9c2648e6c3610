"""Settings: defaults, limits, and the nearest name for one that does not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import PREFIX, SETTINGS, ClockSetting, settings_from
from gateway.errors import Refusal
from wire.batch import Clock


def refused(**environment: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        settings_from({PREFIX + name: value for name, value in environment.items()})
    return caught.value


def test_defaults_need_no_environment() -> None:
    settings = settings_from({"PATH": "/bin", "HEARSIGHT_DATA": "the server's"})
    assert settings.data == Path(".hearsight/gateway")
    assert settings.clock == ClockSetting(None, "")
    assert (settings.window_s, settings.addresses_max, settings.outbox_max_bytes) == (60, 4096, 256_000_000)


def test_every_setting_is_read() -> None:
    values = {"DATA": "/d", "ADAPTER": "hci1", "CLOCK": "good: PTP", "WINDOW_S": "5", "SILENCE_S": "30",
              "ADDRESSES_MAX": "100", "OUTBOX_MAX_MB": "2", "LOG_FORMAT": "JSON", "LOG_LEVEL": "debug",
              "METRICS_FILE": "/m", "CA_FILE": "/c", "DIRECTORY_POLL_S": "60", "DIRECTORY_MAX_MB": "3",
              "REPORT_GAP_S": "0", "REPORTS_MAX_MB": "4", "CARRY": "No"}  # fmt: skip
    assert set(values) == set(SETTINGS)
    settings = settings_from({PREFIX + name: value for name, value in values.items()})
    assert (settings.data, settings.adapter, settings.clock) == (Path("/d"), "hci1", ClockSetting(Clock.GOOD, "PTP"))
    assert (settings.window_s, settings.silence_s, settings.addresses_max) == (5, 30, 100)
    assert (settings.outbox_max_bytes, settings.log_format, settings.log_level) == (2_000_000, "json", "debug")
    assert (settings.metrics_file, settings.ca_file) == (Path("/m"), Path("/c"))
    assert (settings.directory_poll_s, settings.directory_max_bytes) == (60, 3_000_000)
    assert (settings.report_gap_s, settings.reports_max_bytes, settings.carry) == (0, 4_000_000, False)


def test_an_unknown_setting_is_an_error_with_the_nearest_name() -> None:
    refusal = refused(ADAPTOR="hci1")
    assert refusal.code == "setting_unknown"
    assert "HEARSIGHT_GATEWAY_ADAPTER" in refusal.do
    assert "DATA" in refused(XYZZY="1").do


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WINDOW_S", "0"),
        ("WINDOW_S", "soon"),
        ("CLOCK", "perfect"),
        ("LOG_FORMAT", "xml"),
        ("ADDRESSES_MAX", "1"),
        ("CARRY", "1"),
    ],
)
def test_a_wrong_value_is_told_with_its_meaning(name: str, value: str) -> None:
    refusal = refused(**{name: value})
    assert refusal.code == "setting_wrong"
    assert name in refusal.message
    assert SETTINGS[name].meaning in refusal.do


def test_a_clock_set_without_a_reason_says_where_it_was_set() -> None:
    assert settings_from({f"{PREFIX}CLOCK": "good"}).clock == ClockSetting(Clock.GOOD, f"{PREFIX}CLOCK")
