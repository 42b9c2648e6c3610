"""Every setting of the server: its environment variable, meaning, default and an example, in one table.

A HEARSIGHT_* variable that is not in the table is refused with the nearest name, because a misspelt setting that
is silently ignored costs a day. docs/settings.md is held against this table by a test.
"""

# ruff: noqa: RUF009 - `_setting` makes nothing but a dataclass field

from __future__ import annotations

import base64
import binascii
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from server.refusal import Refusal, invalid

PREFIX: Final = "HEARSIGHT_"
# Settings of the gateway and of command lines that talk to a server over HTTP; they are none of ours.
FOREIGN_PREFIXES: Final = ("HEARSIGHT_GATEWAY_", "HEARSIGHT_DEMO_")
FOREIGN: Final = frozenset({"HEARSIGHT_TOKEN", "HEARSIGHT_SERVER"})

# Each may fill a core and holds up to five connections to the database; PostgreSQL allows a hundred by default.
WORKERS_MAX: Final = 16
# An EID closes 36 h after its first report: kept for less than two days, a report sent again would be stored again.
# A look-back has at most 31 days.
PRIVATE_REPORTS_DAYS: Final = (2, 31)
# A hundred years, for whoever means for ever.
RETENTION_MAX_DAYS: Final = 36_500


def _text(value: str) -> str:
    return value


def _path(value: str) -> Path:
    return Path(value).expanduser().absolute()


def _port(value: str) -> int:
    port = int(value)
    if not 1 <= port <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return port


def _positive(value: str) -> int:
    number = int(value)
    if number < 1:
        raise ValueError("a whole number from 1 up")
    return number


def _retention(value: str) -> int:
    number = int(value)
    # So many days before now there must be a date at all: without, every batch would be one that breaks the ingest.
    if not 1 <= number <= RETENTION_MAX_DAYS:
        raise ValueError(f"a whole number from 1 to {RETENTION_MAX_DAYS}")
    return number


def _private_reports_days(value: str) -> int:
    number = int(value)
    least, most = PRIVATE_REPORTS_DAYS
    if not least <= number <= most:
        raise ValueError(f"a whole number from {least} to {most}")
    return number


def _workers(value: str) -> int:
    number = int(value)
    if not 1 <= number <= WORKERS_MAX:
        raise ValueError(f"a whole number from 1 to {WORKERS_MAX}")
    return number


def _network_id(value: str) -> int:
    number = int(value, 16)
    if not 1 <= number <= 254:
        raise ValueError("a hexadecimal byte from 01 to fe")
    return number


def _master_key(value: str) -> bytes:
    try:
        key = base64.b64decode(value, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise ValueError("32 bytes in base64, as `python -m server keys new` prints them")
    return key


def _webhook_secret(value: str) -> bytes:
    try:
        key = base64.b64decode(value.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("whsec_ and the base64 of 24 to 64 random bytes")
    return key


def _yes_no(value: str) -> bool:
    if value not in ("yes", "no"):
        raise ValueError("yes or no")
    return value == "yes"


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if urlsplit(value).scheme not in schemes:
            raise ValueError("a URL that begins with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return value.rstrip("/") if schemes[0] == "http" else value

    return parse


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return value

    return parse


def _setting(
    meaning: str,
    parse: Callable[[str], Any],
    *,
    default: Any = None,
    otherwise: str = "",
    example: str,
    secret: bool = False,
) -> Any:
    """One row of the table; `otherwise` says in words what an unset one means."""
    about = {"meaning": meaning, "parse": parse, "otherwise": otherwise, "example": example, "secret": secret}
    return field(default=default, metadata=about)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the server was told; every field is the variable HEARSIGHT_<FIELD IN CAPITALS>."""

    data: Path = _setting(
        "Folder of keys, and of the server's own database and broker.",
        _path, default=Path(".hearsight"), example="/var/lib/hearsight",
    )  # fmt: skip
    host: str = _setting(
        "Address that the web server listens on. Put a proxy with TLS before it if it is not loopback.",
        _text, default="127.0.0.1", example="0.0.0.0",  # noqa: S104
    )  # fmt: skip
    port: int = _setting("Port of the web server.", _port, default=8000, example="8080")
    ingest_port: int | None = _setting(
        "Port on which the ingest tells its counters to Prometheus, at the address of HOST.",
        _port, otherwise="they are not served", example="9101",
    )  # fmt: skip
    # A gateway in a busy hall sends about one batch a second. Less: one that catches up after an outage (twenty under
    # way at once) would be held back. More: one flood takes a twentieth of what a worker can do.
    ingest_gateway_batches_per_s: int = _setting(
        "Batches a second that each ingest worker takes from one gateway in the long run; it keeps the rest.",
        _positive, default=200, example="50",
    )  # fmt: skip
    ingest_gateway_bytes_per_s: int = _setting(
        "Bytes a second that each ingest worker takes from one gateway in the long run.",
        _positive, default=4 * 1024 * 1024, example="1048576",
    )  # fmt: skip
    lag_max_s: int = _setting(
        "Seconds that sightings may arrive late before the ingest's health is red.",
        _positive, default=60, example="300",
    )  # fmt: skip
    ingest_workers: int = _setting(
        "Processes that bring batches from the broker to the database. More than one needs Mosquitto.",
        _workers, default=1, example="2",
    )  # fmt: skip
    base_url: str = _setting(
        "How people and gateways reach the web server; stands in links, messages and enrolment tokens.",
        _url("http", "https"), default="", otherwise="http://127.0.0.1:PORT", example="https://tags.example.com",
    )  # fmt: skip
    database_url: str | None = _setting(
        "PostgreSQL 15 or newer. Its user must own the database.",
        _url("postgresql", "postgres"), otherwise="the server runs its own PostgreSQL under DATA",
        example="postgresql://hearsight:…@db/hearsight", secret=True,
    )  # fmt: skip
    mqtt_url: str | None = _setting(
        "The MQTT broker as the server reaches it, with its user and password.",
        _url("mqtt", "mqtts"), otherwise="the server runs its own broker on loopback",
        example="mqtts://Server:…@broker:8883", secret=True,
    )  # fmt: skip
    mqtt_public_url: str | None = _setting(
        "The broker as gateways reach it, without user and password; told at enrolment.",
        _url("mqtt", "mqtts"), otherwise="MQTT_URL without its user and password",
        example="mqtts://tags.example.com:8883",
    )  # fmt: skip
    mqtt_ca_file: Path | None = _setting(
        "Certificate (PEM) that the broker's own is checked against, also given to gateways.",
        _path, otherwise="the system's certificates", example="/etc/hearsight/ca.pem",
    )  # fmt: skip
    mqtt_passwd_file: Path | None = _setting(
        "Mosquitto's password file. Written anew whenever a gateway is enrolled, re-enrolled or revoked.",
        _path, otherwise="no file is written", example="/etc/mosquitto/passwd",
    )  # fmt: skip
    mqtt_pid_file: Path | None = _setting(
        "Mosquitto's pid file: it gets SIGHUP after a change of the password file, so that it reads it again.",
        _path, otherwise="no signal is sent", example="/run/mosquitto/mosquitto.pid",
    )  # fmt: skip
    master_key: bytes | None = _setting(
        "Key (32 bytes in base64) under which secrets in the database are encrypted. Keep a copy elsewhere.",
        _master_key, otherwise="made once, kept in DATA/master.key",
        example="q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=", secret=True,
    )  # fmt: skip
    master_key_old: bytes | None = _setting(
        "The master key before the present one, while `keys rotate` has not yet been run.",
        _master_key, otherwise="none", example="EjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8=", secret=True,
    )  # fmt: skip
    network_id: int = _setting(
        "Byte by which our tags' advertisements are known (hexadecimal). The default is an unregistered lab value.",
        _network_id, default=0xF0, example="f0",
    )  # fmt: skip
    smtp_url: str | None = _setting(
        "Mail server for messages to people. smtps:// is TLS from the start, smtp:// starts TLS where offered.",
        _url("smtp", "smtps"), otherwise="no e-mail is sent: letters wait, and are given up after two days",
        example="smtps://user:…@mail.example.com:465", secret=True,
    )  # fmt: skip
    mail_from: str = _setting(
        "Sender of e-mail.", _text, default="hearsight@localhost", example="Tags <tags@example.com>"
    )
    webhooks_private: bool = _setting(
        "Whether owners' webhooks, apprise and push addresses may be private ones, and plain http (for tries).",
        _yes_no, default=False, otherwise="`no`", example="yes",
    )  # fmt: skip
    retention_days: int = _setting(
        "Days after which sightings, and what people wrote, are removed for good.",
        _retention, default=400, example="180",
    )  # fmt: skip
    # Private finding: what is kept of sealed reports, and how many are taken.
    private_reports_days: int = _setting(
        "Days after which sealed reports of private tags are removed for good (2 to 31).",
        _private_reports_days, default=7, example="14",
    )  # fmt: skip
    # A gateway in a house tells of a tag every quarter of an hour. Less: a tag that a whole town hears is lost in it.
    # More: a flood costs the owner that many openings, and the disk half a kilobyte each.
    private_reports_per_eid: int = _setting(
        "Sealed reports that an identifier (a private tag's day) takes in its whole life.",
        _positive, default=5_000, example="20000",
    )  # fmt: skip
    # Less: a gateway that was cut off for some hours cannot bring what it heard. More: one gateway alone fills an EID.
    private_reports_per_gateway_eid_hour: int = _setting(
        "Sealed reports of one identifier that one gateway may bring in an hour, by each web process.",
        _positive, default=30, example="60",
    )  # fmt: skip
    private_reports_per_gateway_hour: int = _setting(
        "Sealed reports that one gateway may bring in an hour altogether, by each web process.",
        _positive, default=20_000, example="100000",
    )  # fmt: skip
    easypost_key: str | None = _setting(
        "API key of EasyPost, by which carriers are asked about numbers.",
        _text, otherwise="carriers are not asked; webhooks are taken all the same", example="EZAK…", secret=True,
    )  # fmt: skip
    easypost_webhook_secret: str | None = _setting(
        "Secret of EasyPost's webhook, as it was given when the webhook was made.",
        _text, otherwise="its webhooks are refused", example="correct-horse-battery-staple", secret=True,
    )  # fmt: skip
    easypost_url: str = _setting(
        "Where EasyPost is asked.", _url("http", "https"), default="https://api.easypost.com",
        example="http://127.0.0.1:9000",
    )  # fmt: skip
    shop_webhook_secret: bytes | None = _setting(
        "Secret of the shop's webhook (Standard Webhooks): whsec_ and the base64 of 24 to 64 bytes.",
        _webhook_secret, otherwise="its webhooks are refused",
        example="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", secret=True,
    )  # fmt: skip
    policy_profile: str = _setting(
        "How staff work: solo (fewer than three people: one grants what two should, later and logged) or team.",
        _choice("solo", "team"), default="solo", example="team",
    )  # fmt: skip
    house_payments: str = _setting(
        "How refunds leave the house's own ledger: by_hand (somebody pays and says so) or at_once (for demos).",
        _choice("by_hand", "at_once"), default="by_hand", example="at_once",
    )  # fmt: skip
    log_format: str = _setting(
        "How the log is written: console for people, json for collectors.",
        _choice("console", "json"), default="console", example="json",
    )  # fmt: skip

    @property
    def public_mqtt_url(self) -> str | None:
        """What gateways are told: never with a user or password in it."""
        return self.mqtt_public_url or (without_userinfo(self.mqtt_url) if self.mqtt_url else None)


def without_userinfo(url: str) -> str:
    """A URL without user and password: fit for gateways, logs and pages."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def load(environ: Mapping[str, str]) -> Settings:
    """Settings from an environment. Raises Refusal `setting_unknown`, `setting_invalid`."""
    known = {variable(each.name): each for each in fields(Settings)}
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name.startswith(FOREIGN_PREFIXES) or name in FOREIGN:
            continue
        if name not in known:
            raise _unknown(name, list(known))
        if text == "":  # compose files pass an unset variable as an empty one
            continue
        try:
            values[known[name].name] = known[name].metadata["parse"](text)
        except ValueError as error:
            raise _invalid(name, error, known[name].metadata["example"]) from None
    values["data"] = Path(values.get("data", ".hearsight")).absolute()
    values.setdefault("base_url", f"http://127.0.0.1:{values.get('port', 8000)}")
    return Settings(**values)


def _unknown(name: str, known: list[str]) -> Refusal:
    words = [each.removeprefix(PREFIX) for each in known]
    near = difflib.get_close_matches(name.removeprefix(PREFIX), words, n=1, cutoff=0.0)
    return invalid(
        "setting_unknown",
        f"There is no setting {name}.",
        f"The nearest one is {PREFIX}{near[0]}. `python -m server settings` prints them all.",
        name,
    )


def _invalid(name: str, error: ValueError, example: str) -> Refusal:
    # The value itself is not repeated: it may be a secret.
    return invalid("setting_invalid", f"{name} cannot be used: {error}.", f"Write it like {example}.", name)
