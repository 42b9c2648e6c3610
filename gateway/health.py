"""How the gateway is: one value, told to the broker as a retained state, to `status` as a file, to Prometheus as text.

*Online* only says that the connection lives. Whether the gateway hears is told by the age of the last advert, so every
one of these three carries it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from gateway.supervise import ScannerState
from wire.batch import Clock
from wire.state import GatewayState

STATUS_FILE: Final = "status.json"
STATE_EVERY_S: Final = 30.0
# Two states missed: the process hangs, or it is gone without a word.
STALE_S: Final = 3 * STATE_EVERY_S
# A room with people is never silent for so long.
DEAF_S: Final = 120.0
# A day of ordinary windows.
QUEUE_LONG: Final = 1_440


# Longer without the directory, and tags that were claimed meanwhile are nobody's here.
DIRECTORY_OLD_S: Final = 6 * 3_600.0


class FindingHealth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Private finding: sealed reports on their way, and the directory that they are sealed by. Counts as in Health;
    `directory_age_s`: since all of it was last known to be fresh, None if it never was.
    """

    reports_waiting: int = 0
    reports_sealed: int = 0
    reports_uploaded: int = 0
    reports_dropped: dict[str, int] = {}
    reports_trouble: str = ""
    directory_days: int = 0
    directory_entries: int = 0
    directory_bytes: int = 0
    directory_age_s: float | None = None
    directory_refused: dict[str, int] = {}
    directory_trouble: str = ""


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One moment of one gateway. Ages in seconds; counts since the process began."""

    gateway: str
    software: str
    pid: int
    started_at_ms: int
    at_ms: int
    scanner: ScannerState
    scanner_trouble: str
    adverts: int
    last_advert_age_s: float | None
    restarts: dict[str, int]
    dropped: dict[str, int]
    batches_made: int
    sightings_made: int
    queued_batches: int
    queued_bytes: int
    last_receipt_age_s: float | None
    link_ready: bool
    link_trouble: str
    clock: str
    clock_reason: str
    finding: FindingHealth = FindingHealth()

    def hears(self, now_ms: int) -> bool:
        """Whether it heard anything lately, as far as it said so lately."""
        fresh = now_ms - self.at_ms <= STALE_S * 1000
        return fresh and self.last_advert_age_s is not None and self.last_advert_age_s <= DEAF_S

    def state(self, *, online: bool = True) -> GatewayState:
        """What everybody may know."""
        return GatewayState(
            gateway=self.gateway,
            online=online,
            sent_at_ms=max(self.at_ms, 0),
            scanner=self.scanner,
            last_advert_age_s=self.last_advert_age_s,
            queued_batches=self.queued_batches,
            clock=Clock[self.clock.upper()],
            restarts=self.restarts,
            dropped=self.dropped,
            started_at_ms=max(self.started_at_ms, 0),
            software=self.software,
        )


def troubles(health: Health, now_ms: int) -> list[str]:
    """What a person should look at, worst first; empty if all is well."""
    age_s = (now_ms - health.at_ms) / 1000
    found = []
    if age_s > STALE_S:
        found.append(f"the gateway has said nothing for {age_s:.0f} s: it hangs, or it was killed")
    if health.scanner not in ("scanning", "paused"):
        why = f" ({health.scanner_trouble})" if health.scanner_trouble else ""
        found.append(f"the scanner is {health.scanner}{why}")
    elif health.last_advert_age_s is None:
        found.append("nothing was heard since the start")
    elif health.last_advert_age_s > DEAF_S:
        found.append(f"nothing was heard for {health.last_advert_age_s:.0f} s: a very quiet room, or a deaf radio")
    if not health.link_ready:
        found.append(f"no connection to the broker ({health.link_trouble}); batches wait on disk")
    if health.queued_batches > QUEUE_LONG:
        found.append(f"{health.queued_batches} batches wait for a receipt")
    if health.clock != "good":
        found.append(f"the clock is {health.clock} ({health.clock_reason}): sightings will carry less weight")
    return found + _finding_troubles(health)


def _finding_troubles(health: Health) -> list[str]:
    finding, found = health.finding, []
    running_s = (health.at_ms - health.started_at_ms) / 1000
    age_s = running_s if finding.directory_age_s is None else finding.directory_age_s
    if age_s > DIRECTORY_OLD_S:
        found.append(f"the directory of owned tags is {age_s / 3600:.0f} h old ({finding.directory_trouble})")
    if finding.reports_waiting and finding.reports_trouble:
        found.append(f"{finding.reports_waiting} sealed reports wait ({finding.reports_trouble})")
    return found


def save_status(folder: Path, health: Health) -> None:
    """Replace the status file. Not synced to disk: it tells the present, and is written every half a minute."""
    temporary = folder / (STATUS_FILE + ".tmp")
    temporary.write_bytes(msgspec.json.encode(health))
    temporary.replace(folder / STATUS_FILE)


def load_status(folder: Path) -> Health | None:
    """The last status; None if there is none that this version understands."""
    try:
        return msgspec.json.decode((folder / STATUS_FILE).read_bytes(), type=Health)
    except (FileNotFoundError, msgspec.DecodeError, ValueError):
        return None


_GAUGES: Final = {
    "queued_batches": "Batches on disk that wait for a receipt.",
    "queued_bytes": "Bytes on disk that wait for a receipt.",
    "last_advert_age_s": "Seconds since any advert was heard.",
    "last_receipt_age_s": "Seconds since the server's last receipt.",
    "link_ready": "1 while connected to the broker.",
}
_FINDING_GAUGES: Final = {
    "reports_waiting": "Sealed reports on disk that wait for the server.",
    "directory_days": "Days of the directory of owned tags on disk.",
    "directory_entries": "Identifiers in the directory on disk, all days together.",
    "directory_bytes": "Bytes of the directory on disk.",
    "directory_age_s": "Seconds since the directory was last known to be fresh.",
}
_COUNTERS: Final = {
    "adverts": "Callbacks of the scanner.",
    "batches_made": "Batches put into the outbox.",
    "sightings_made": "Sightings put into the outbox.",
}
_FINDING_COUNTERS: Final = {
    "reports_sealed": "Reports of owned tags sealed to their owners.",
    "reports_uploaded": "Sealed reports that the server has.",
}


def metrics_text(health: Health) -> str:
    """The text format of Prometheus; a value that is unknown is left out."""
    who = f'gateway="{health.gateway}"'
    lines = []
    for of, kind, table, suffix in (
        (health, "gauge", _GAUGES, ""),
        (health.finding, "gauge", _FINDING_GAUGES, ""),
        (health, "counter", _COUNTERS, "_total"),
        (health.finding, "counter", _FINDING_COUNTERS, "_total"),
    ):
        for name, meaning in table.items():
            value = getattr(of, name)
            if value is not None:
                full = f"hearsight_gateway_{name}{suffix}"
                lines += [f"# HELP {full} {meaning}", f"# TYPE {full} {kind}", f"{full}{{{who}}} {float(value):g}"]
    for name, counts in (
        ("dropped", health.dropped),
        ("scanner_restarts", health.restarts),
        ("reports_dropped", health.finding.reports_dropped),
        ("directory_refused", health.finding.directory_refused),
    ):
        full = f"hearsight_gateway_{name}_total"
        lines += [f"# HELP {full} By reason.", f"# TYPE {full} counter"]
        lines += [f'{full}{{{who},reason="{reason}"}} {count}' for reason, count in sorted(counts.items())]
    return "\n".join(lines) + "\n"
