"""Gateways and sites at the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from server import wiring
from server.cli.common import ACTOR, AsJson, read_file, say, show, work
from server.refusal import invalid
from server.service import gateway_health, gateways
from server.service.gateways import NewGateway
from server.store.gateways import NewSite
from wire.batch import GatewayClass, Place, PlaceSource

_DEGREE: Final = 10_000_000
_MAX_CALENDAR_BYTES: Final = 64 * 1024


class ClassName(StrEnum):
    """GatewayClass as it is typed."""

    OWN_SITE = "own_site"
    VEHICLE = "vehicle"
    PARTNER = "partner"
    CROWD = "crowd"


Name = Annotated[str, typer.Argument(help="Small letters, digits and inner hyphens, such as dock-1.")]
ClassOption = Annotated[ClassName, typer.Option("--class", help="Whose it is; evidence is weighed by it.")]
Owner = Annotated[str, typer.Option(help="Who runs it, if not us: two of one owner are one witness.")]
Site = Annotated[str | None, typer.Option(help="The site of ours where it stands.")]
Lat = Annotated[float | None, typer.Option(min=-90, max=90, help="Where it stands, in degrees.")]
Lon = Annotated[float | None, typer.Option(min=-180, max=180)]
Accuracy = Annotated[int, typer.Option("--accuracy-m", min=0, max=65_535, help="How well that is known, in metres.")]


def add_to(app: typer.Typer) -> None:
    gateway = typer.Typer(no_args_is_help=True, help="Gateways: add, list, revoke, reenrol, place.")
    for name, command in (
        ("add", add), ("list", list_gateways), ("revoke", revoke), ("reenrol", reenrol), ("place", place),
    ):  # fmt: skip
        gateway.command(name)(command)
    app.add_typer(gateway, name="gateway")
    site = typer.Typer(no_args_is_help=True, help="Sites of ours: add.")
    site.callback()(_sites)
    site.command("add")(add_site)
    app.add_typer(site, name="site")


def _sites() -> None:
    """Sites of ours: warehouses, shops, offices; evidence is weighed by their calendars."""


def _place(lat: float | None, lon: float | None, accuracy_m: int) -> Place | None:
    if lat is None and lon is None:
        return None
    if lat is None or lon is None:
        raise invalid("place_half", "A place needs --lat and --lon.", "Give both or none.")
    return Place(round(lat * _DEGREE), round(lon * _DEGREE), accuracy_m, PlaceSource.FIXED)


def add(
    name: Name,
    gateway_class: ClassOption,
    owner: Owner = "",
    site: Site = None,
    lat: Lat = None,
    lon: Lon = None,
    accuracy_m: Accuracy = 20,
) -> None:
    """Make a gateway and print the one-time token (24 hours) by which it enrols."""
    kind, at_place = GatewayClass[gateway_class.name], _place(lat, lon, accuracy_m)
    with work() as at:
        registry = wiring.registry(at.settings, at.tx)
        new = NewGateway(name, kind, owner, site, at_place)
        _, token = gateways.create(at.tx, registry, new, at.now, actor=ACTOR)
    _hand_over(token)


def _hand_over(token: str) -> None:
    say("Run on the gateway, within 24 hours: python -m gateway enrol TOKEN. The token works once:")
    print(token)


def list_gateways(as_json: AsJson = False) -> None:
    """List every gateway and how it is. Where it stands is told of our own sites' only: others stand in homes."""
    with work() as at:
        rows = [
            (
                each.gateway, each.gateway_class.value, each.owner, each.site, each.word.value, each.heard_radio_at,
                each.queued_batches, f"{each.stands.lat:.5f}, {each.stands.lon:.5f}" if each.stands else None,
            )
            for each in gateway_health.every_gateway(at.tx, at.now)
        ]  # fmt: skip
    show(("gateway", "class", "owner", "site", "state", "heard radio", "queue", "place"), rows, as_json)


def revoke(name: Name) -> None:
    """Shut a gateway out: it can neither connect nor report. What it reported stays."""
    with work() as at:
        gateways.revoke(at.tx, wiring.registry(at.settings, at.tx), name, at.now, actor=ACTOR)
    say(f"{name} is revoked.")


def reenrol(name: Name) -> None:
    """Print a new one-time token for a gateway: a new machine, a lost key, or one that was revoked."""
    with work() as at:
        token = gateways.reenrol(at.tx, wiring.registry(at.settings, at.tx), name, at.now, actor=ACTOR)
    _hand_over(token)


def place(
    name: Name,
    gateway_class: Annotated[ClassName | None, typer.Option("--class", help="Another class.")] = None,
    owner: Annotated[str | None, typer.Option(help="Another owner.")] = None,
    site: Site = None,
    lat: Lat = None,
    lon: Lon = None,
    accuracy_m: Accuracy = 20,
) -> None:
    """Change what a gateway is and where it stands; what is not named stays. Its own place changes at re-enrolment."""
    with work() as at:
        old = gateways.existing(at.tx, name)
        new = NewGateway(
            name,
            GatewayClass[gateway_class.name] if gateway_class else old.gateway_class,
            old.owner if owner is None else owner,
            old.site if site is None else site,
            _place(lat, lon, accuracy_m) or old.place,
        )
        changed = gateways.change(at.tx, new, at.now, actor=ACTOR)
    say(f"{name} is {changed.gateway_class.name.lower()} of {changed.owner} now. For its place: gateway reenrol {name}")


def add_site(
    site: Annotated[str, typer.Argument(help="Small letters, digits and hyphens, such as berlin.")],
    name: Annotated[str, typer.Option(help="How people call it.")],
    zone: Annotated[str, typer.Option(help="Its time zone, such as Europe/Berlin.")],
    lat: Annotated[float, typer.Option(min=-90, max=90)],
    lon: Annotated[float, typer.Option(min=-180, max=180)],
    calendar: Annotated[
        Path | None, typer.Option(help="JSON: pickups, workdays, holidays, cutoff, pickup_grace_s, services.")
    ] = None,
) -> None:
    """Make a site: where our gateways stand and whose calendar counts."""
    days = _calendar(calendar) if calendar else {}
    new = NewSite(site, name, zone, round(lat * _DEGREE), round(lon * _DEGREE), days)
    with work() as at:
        made = gateways.create_site(at.tx, new, at.now, actor=ACTOR)
    say(f"Site {site} is made." if made else f"Site {site} is there already, with the same data.")


def _calendar(path: Path) -> Mapping[str, Any]:
    try:
        read = json.loads(read_file(path, _MAX_CALENDAR_BYTES))
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise invalid("calendar_unreadable", f"{path} is no JSON object.", "See docs/operations.md for one.")
    return read
