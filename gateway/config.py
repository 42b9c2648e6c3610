"""The gateway's settings: environment variables HEARSIGHT_GATEWAY_*, each with its default and its reason.

Everything a gateway needs to know about its server comes from enrolment (enrolled.py). What stands here is about the
machine it runs on. A variable that does not exist is an error, because a mistyped one would be obeyed by nobody.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway.errors import Refusal
from wire.batch import Clock

PREFIX: Final = "HEARSIGHT_GATEWAY_"


@dataclass(frozen=True, slots=True)
class ClockSetting:
    """What somebody who knows the machine says of its clock; `quality` None means: look yourself."""

    quality: Clock | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """One gateway's settings, checked. Seconds, bytes and counts as their names say."""

    data: Path
    adapter: str | None
    clock: ClockSetting
    window_s: float
    silence_s: float
    addresses_max: int
    outbox_max_bytes: int
    ca_file: Path | None
    carry: bool
    directory_poll_s: float
    directory_max_bytes: int
    report_gap_s: float
    reports_max_bytes: int
    log_format: str
    log_level: str
    metrics_file: Path | None


def _between(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"has to lie between {low:g} and {high:g}")
        return value

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"has to be one of {', '.join(words)}")
        return text.lower()

    return parse


def _clock(text: str) -> ClockSetting:
    word, _, reason = text.partition(":")
    word = word.strip().lower()
    if word == "auto":
        return ClockSetting()
    try:
        return ClockSetting(Clock[word.upper()], reason.strip() or f"{PREFIX}CLOCK")
    except KeyError:
        raise ValueError("has to be auto, good, unsure or bad, and may add ': a reason'") from None


class Setting(NamedTuple):
    """One row of the table below, which is also the page of documentation."""

    default: str
    parse: Callable[[str], Any]
    meaning: str


SETTINGS: Final[dict[str, Setting]] = {
    "DATA": Setting(
        ".hearsight/gateway",
        lambda text: Path(text).expanduser(),
        "folder with the enrolment, the identity key and the outbox",
    ),
    "ADAPTER": Setting(
        "", lambda text: text or None, "Bluetooth adapter, such as hci1; empty for the first one that is powered"
    ),
    "CLOCK": Setting(
        "auto",
        _clock,
        "auto asks the kernel whether the clock is synchronised; good, unsure or bad (with ': reason') where the kernel"
        " cannot know, as in a container whose host keeps the time",
    ),
    "WINDOW_S": Setting(
        "60",
        _between(0.2, 900),
        "seconds of adverts in one sighting: longer saves bytes, but all of it is lost in a power cut",
    ),
    "SILENCE_S": Setting(
        "90",
        _between(5, 86_400),
        "seconds without any advert after which the scanner is made anew: shorter disturbs quiet rooms,"
        " longer stays deaf longer",
    ),
    "ADDRESSES_MAX": Setting(
        "4096",
        lambda text: int(_between(16, 100_000)(text)),
        "device addresses held in one window (about 0.6 KiB each); adverts of further ones are counted as table_full",
    ),
    "OUTBOX_MAX_MB": Setting(
        "256",
        lambda text: int(_between(1, 1_000_000)(text) * 1_000_000),
        "megabytes of batches that wait on disk for a receipt; beyond it the oldest are given up, with counts",
    ),
    "CA_FILE": Setting(
        "",
        lambda text: Path(text) if text else None,
        "certificates (PEM) to trust for the server's HTTPS, if not the system's: the file that enrol --ca was given",
    ),
    "CARRY": Setting(
        "yes",
        lambda text: _one_of("yes", "no")(text) == "yes",
        "yes or no: whether people may speak with their tags through this gateway, to claim them or let them ring;"
        " while one does, it does not listen for up to half a minute",
    ),
    "DIRECTORY_POLL_S": Setting(
        "600",
        _between(1, 86_400),
        "seconds between two looks at the directory of owned tags: a tag that was just claimed is reported after that",
    ),
    "DIRECTORY_MAX_MB": Setting(
        "256",
        lambda text: int(_between(1, 100_000)(text) * 1_000_000),
        "megabytes of directory kept on disk, four days together; a million owned tags take 192",
    ),
    "REPORT_GAP_S": Setting(
        "300",
        _between(0, 86_400),
        "seconds in which an owned tag is reported once from one place: shorter says little more and costs its quota",
    ),
    "REPORTS_MAX_MB": Setting(
        "32",
        lambda text: int(_between(0.01, 100_000)(text) * 1_000_000),
        "megabytes of sealed reports that wait on disk for the server; beyond it the oldest are given up, and counted",
    ),
    "LOG_FORMAT": Setting("console", _one_of("console", "json"), "console for people, json for machines"),
    "LOG_LEVEL": Setting("info", _one_of("debug", "info", "warning", "error"), "how much is logged"),
    "METRICS_FILE": Setting(
        "",
        lambda text: Path(text) if text else None,
        "file for the textfile collector of the Prometheus node exporter; empty for none",
    ),
}
_FIELDS: Final = {
    "OUTBOX_MAX_MB": "outbox_max_bytes",
    "DIRECTORY_MAX_MB": "directory_max_bytes",
    "REPORTS_MAX_MB": "reports_max_bytes",
}


def settings_from(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from environment variables. Raises Refusal `setting_unknown`, `setting_wrong`."""
    for name in environment:
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in SETTINGS:
            raise _unknown(name)
    values: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        text = environment.get(PREFIX + name, setting.default)
        try:
            values[_FIELDS.get(name, name.lower())] = setting.parse(text)
        except ValueError as error:
            raise Refusal(
                "setting_wrong", f"{PREFIX}{name}={text!r} does not work: {error}", f"It means: {setting.meaning}."
            ) from None
    return Settings(**values)


def _unknown(name: str) -> Refusal:
    near = difflib.get_close_matches(name.removeprefix(PREFIX), SETTINGS, n=1, cutoff=0.5)
    meant = f"Did you mean {PREFIX}{near[0]}?" if near else f"There are: {', '.join(SETTINGS)} (after {PREFIX})."
    return Refusal("setting_unknown", f"there is no setting {name}", meant)
