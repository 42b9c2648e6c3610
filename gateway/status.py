"""`python -m gateway status`: what the gateway last said of itself, for a person, a script or a health check."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from gateway.enrolled import load_enrolment
from gateway.health import Health, load_status, troubles


def show(folder: Path, *, running: bool, now_ms: int, as_json: bool, console: Console) -> bool:
    """Print it; True if the gateway runs and hears. Raises Refusal `not_enrolled` and its like."""
    enrolment, _key = load_enrolment(folder)
    health = load_status(folder)
    wrong = troubles(health, now_ms) if health is not None and running else []
    well = running and health is not None and health.hears(now_ms)
    if as_json:
        told = {"running": running, "well": well, "troubles": wrong, "health": health}
        console.print_json(msgspec.json.encode(told).decode())
        return well
    if not running:
        console.print(f"[red]{enrolment.gateway} does not run.[/] Start it with: python -m gateway run")
    if health is None:
        console.print("It has said nothing of itself yet.")
        return False
    console.print(_table(health, enrolment.mqtt_url, now_ms))
    for line in wrong:
        console.print(f"[yellow]![/] {line}")
    if running and not wrong:
        console.print("[green]All is well.[/]")
    return well


def _table(health: Health, mqtt_url: str, now_ms: int) -> Table:
    table = Table(title=f"{health.gateway}, {_age((now_ms - health.at_ms) / 1000)} ago", show_header=False)
    rows = {
        "scanner": f"{health.scanner} {health.scanner_trouble}",
        "last advert": _age(health.last_advert_age_s),
        "adverts": f"{health.adverts}, in {health.sightings_made} sightings and {health.batches_made} batches",
        "scanner restarts": _counts(health.restarts),
        "dropped": _counts(health.dropped),
        "waiting for a receipt": f"{health.queued_batches} batches, {health.queued_bytes / 1e6:.1f} MB",
        "last receipt": _age(health.last_receipt_age_s),
        "sealed reports": _reports(health),
        "directory": _directory(health),
        "broker": f"{mqtt_url}, " + ("connected" if health.link_ready else health.link_trouble),
        "clock": f"{health.clock}, {health.clock_reason}",
        "runs for": _age((health.at_ms - health.started_at_ms) / 1000),
        "software": health.software,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _reports(health: Health) -> str:
    finding = health.finding
    told = f"{finding.reports_sealed} sealed, {finding.reports_waiting} wait, {finding.reports_uploaded} uploaded"
    return f"{told}; dropped: {_counts(finding.reports_dropped)}"


def _directory(health: Health) -> str:
    finding = health.finding
    size = f"{finding.directory_entries} identifiers of {finding.directory_days} days"
    return f"{size}, {finding.directory_bytes / 1e6:.1f} MB, asked {_age(finding.directory_age_s)} ago"


def _age(age_s: float | None) -> str:
    if age_s is None:
        return "never"
    if age_s < 120:
        return f"{age_s:.0f} s"
    return f"{age_s / 60:.0f} min" if age_s < 7_200 else f"{age_s / 3600:.1f} h"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items())) or "none"
