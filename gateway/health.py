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
_COUNTERS: Final = {
    "adverts": "Callbacks of the scanner.",
    "batches_made": "Batches put into the outbox.",
    "sightings_made": "Sightings put into the outbox.",
}


def metrics_text(health: Health) -> str:
    """The text format of Prometheus; a value that is unknown is left out."""
    who = f'gateway="{health.gateway}"'
    lines = []
    for kind, table, suffix in (("gauge", _GAUGES, ""), ("counter", _COUNTERS, "_total")):
        for name, meaning in table.items():
            value = getattr(health, name)
            if value is not None:
                full = f"hearsight_gateway_{name}{suffix}"
                lines += [f"# HELP {full} {meaning}", f"# TYPE {full} {kind}", f"{full}{{{who}}} {float(value):g}"]
    for name, counts in (("dropped", health.dropped), ("scanner_restarts", health.restarts)):
        full = f"hearsight_gateway_{name}_total"
        lines += [f"# HELP {full} By reason.", f"# TYPE {full} counter"]
        lines += [f'{full}{{{who},reason="{reason}"}} {count}' for reason, count in sorted(counts.items())]
    return "\n".join(lines) + "\n"
