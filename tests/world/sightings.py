"""The oracle for sightings: what the surviving outboxes ever took stands in the table exactly once, and nothing else.

1. Every entry in the book of a gateway's surviving outbox is stored exactly once, or kept whole as a dead letter for a
   reason that the world agrees with, or was given up for want of room.
2. An entry of a book that was lost with its card, or that was given up, is stored once or not at all, never in part.
3. Nothing else is stored. What was resolved, a tag of ours really sent; what it did not send is among the unresolved.
4. "Last heard" and "history" say what the book says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from server.ingest.worker import POISON
from server.store import sightings as store
from server.store.partitions import horizon
from tests.world import cast
from tests.world.air import Made
from tests.world.gateways import Entry, Heard
from tests.world.timeline import moment
from tests.world.workers import RETENTION
from wire.batch import MAX_AHEAD_MS, Clock, decode_batch, unpack_sightings
from wire.signing import SIGNATURE_LEN

if TYPE_CHECKING:
    from tests.world.run import World

# Clocks that call themselves good are at most this wrong in our worlds.
GOOD_WITHIN_MS: Final = 2_000
_SHOWN: Final = 4


class Row(NamedTuple):
    """One row of `sightings` with what its batch says of it; `made` is what the tag really sent."""

    gateway: str
    made: Made
    heard_ms: int
    window_ms: int
    adverts: int
    rssi_max_dbm: int
    rssi_mean_dbm: int
    sent_at_ms: int
    clock: int
    place: tuple[int, int, int, int] | None


class Loose(NamedTuple):
    """One row of `unresolved_frames`."""

    gateway: str
    frame: bytes
    heard_ms: int
    sent_at_ms: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What one entry should have become."""

    entry: Entry
    rows: tuple[Row, ...]
    loose: tuple[Loose, ...]


class WrongRowsError(AssertionError):
    """The table and the books disagree."""


def check(world: World) -> None:
    """Raises WrongRowsError."""
    _check_books(world)
    must, may = expected(world)
    dead = _dead_letters(world)
    present, loose = _stored(world), _unresolved(world)
    wanted: Counter[Row] = Counter()
    wanted_loose: Counter[Loose] = Counter()
    for each in must:
        if each.entry.name not in dead:
            wanted.update(each.rows)
            wanted_loose.update(each.loose)
    for each in may:  # present as a whole or not at all
        if each.entry.name not in dead and _is_there(each, present - wanted, loose - wanted_loose):
            wanted.update(each.rows)
            wanted_loose.update(each.loose)
    _compare("sightings", wanted, present)
    _compare("unresolved frames", wanted_loose, loose)
    _check_dead_letters(world, dead, {each.entry.name: each for each in (*must, *may)})
    _check_marks(world)
    _check_reads(world, wanted)


def expected(world: World) -> tuple[list[Expected], list[Expected]]:
    """What must be there, and what may be: one of each entry, although two copies of a card may hold it."""
    must: dict[object, Expected] = {}
    may: dict[object, Expected] = {}
    for gateway in world.gateways.values():
        for index, entry in enumerate(gateway.book.entries):
            (may if index in gateway.book.buried else must)[entry.name] = _expect(world, entry)
        for entry in gateway.lost:
            may[entry.name] = _expect(world, entry)
    return list(must.values()), [each for name, each in may.items() if name not in must]


def _expect(world: World, entry: Entry) -> Expected:
    rows, loose = [], []
    for heard in entry.heard:
        if moment(heard.heard_ms) < horizon(world.line.now, RETENTION):
            continue  # a clock without a battery: what it heard in 1970 is nobody's evidence, and not kept
        made = world.air.made.get(heard.frame)
        if made is not None and _resolves(world, made):
            rows.append(_row(entry, heard, made))
        else:
            loose.append(Loose(entry.gateway, heard.frame, heard.heard_ms, entry.sent_at_ms))
    return Expected(entry, tuple(rows), tuple(loose))


def _resolves(world: World, made: Made) -> bool:
    return cast.lot_of(made.serial) != cast.LATE_LOT or world.late_lot_known


def _row(entry: Entry, heard: Heard, made: Made) -> Row:
    place = entry.place
    return Row(
        gateway=entry.gateway,
        made=made,
        heard_ms=heard.heard_ms,
        window_ms=heard.heard_ms - heard.first_ms,
        adverts=heard.adverts,
        rssi_max_dbm=heard.rssi_max_dbm,
        rssi_mean_dbm=heard.rssi_mean_dbm,
        sent_at_ms=entry.sent_at_ms,
        clock=int(entry.clock),
        place=None if place is None else (place.lat_e7, place.lon_e7, place.accuracy_m, int(place.source)),
    )


def _is_there(each: Expected, present: Counter[Row], loose: Counter[Loose]) -> bool:
    return any(present[row] > 0 for row in each.rows) or any(loose[row] > 0 for row in each.loose)


# --- what the database holds


def _stored(world: World) -> Counter[Row]:
    rows = world.house.witness.execute("""
        select g.gateway, s.serial, s.uptime_s, s.boot, s.status, s.heard_at, s.window_ms, s.adverts, s.rssi_max_dbm,
            s.rssi_mean_dbm, b.sent_at, b.clock, b.lat_e7, b.lon_e7, b.accuracy_m, b.place_source
        from sightings s join batches b on b.no = s.batch_no join gateways g on g.no = b.gateway_no
    """)
    return Counter(
        Row(
            gateway, Made(serial, uptime_s, boot, status), _ms(heard_at), window_ms, adverts, top, mean, _ms(sent_at),
            clock, None if place[0] is None else tuple(place),
        )
        for gateway, serial, uptime_s, boot, status, heard_at, window_ms, adverts, top, mean, sent_at, clock, *place
        in rows
    )  # fmt: skip


def _unresolved(world: World) -> Counter[Loose]:
    rows = world.house.witness.execute("""
        select g.gateway, u.frame, u.heard_at, b.sent_at
        from unresolved_frames u join batches b on b.no = u.batch_no join gateways g on g.no = b.gateway_no
    """)
    return Counter(Loose(gateway, bytes(frame), _ms(heard), _ms(sent)) for gateway, frame, heard, sent in rows)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _compare(what: str, wanted: Counter, present: Counter) -> None:
    missing, excess = wanted - present, present - wanted
    if missing or excess:
        words = [f"{what}: {sum(missing.values())} missing, {sum(excess.values())} too many"]
        words += [f"  missing {n} × {row}" for row, n in sorted(missing.items(), key=repr)[:_SHOWN]]
        words += [
            f"  {'twice' if wanted[row] else 'never committed'}: {n} × {row}"
            for row, n in sorted(excess.items(), key=repr)[:_SHOWN]
        ]
        raise WrongRowsError("\n".join(words))


# --- refused batches, marks, books


def _dead_letters(world: World) -> dict[object, tuple[str, datetime]]:
    """Refused batches by the name of their entry: why, and when they came."""
    rows = world.house.witness.execute("""
        select g.gateway, d.payload, d.reason, b.received_at
        from dead_letters d join batches b on b.no = d.batch_no join gateways g on g.no = b.gateway_no order by b.no
    """)
    dead: dict[object, tuple[str, datetime]] = {}
    for gateway, payload, reason, received_at in rows:
        batch = decode_batch(bytes(payload)[SIGNATURE_LEN:])
        frames = tuple((frame.frame, frame.heard_ms) for seen in unpack_sightings(batch) for frame in seen.frames)
        dead[gateway, batch.sent_at_ms, frames] = reason, received_at
    return dead


def _check_dead_letters(
    world: World, dead: dict[object, tuple[str, datetime]], entries: dict[object, Expected]
) -> None:
    for name, (reason, received_at) in dead.items():
        each = entries.get(name)
        if each is None:
            raise WrongRowsError(f"a dead letter ({reason}) that no gateway committed: {name}")
        latest_ms = _ms(received_at) + MAX_AHEAD_MS
        ahead = any(heard.heard_ms > latest_ms for heard in each.entry.heard)
        poison = any(row.made.serial == cast.POISON_SERIAL for row in each.rows)
        if not {"future": ahead, POISON: poison}.get(reason, False):
            raise WrongRowsError(f"refused as {reason} without a reason: {each.entry}")


def _check_marks(world: World) -> None:
    """Each outbox is settled up to the end of its unbroken run, no more and no less."""
    rows = world.house.witness.execute(
        "select g.gateway, o.outbox_id, o.settled_up_to from outboxes o join gateways g on g.no = o.gateway_no"
    ).fetchall()
    for gateway, outbox_id, settled_up_to in sorted(rows):
        unbroken = world.house.unbroken(gateway, bytes(outbox_id))
        if settled_up_to != unbroken:
            raise WrongRowsError(f"{gateway} is settled up to {settled_up_to}; its unbroken run ends at {unbroken}")


def _check_books(world: World) -> None:
    """The gateways' own part: no advert vanishes without a count, and good clocks tell the truth."""
    for gateway in world.gateways.values():
        gateway.kill()  # what is still in its window is accounted for with the window
        if gateway.heard_adverts != gateway.accounted_adverts:
            raise WrongRowsError(
                f"{gateway.name} heard {gateway.heard_adverts}, accounts for {gateway.accounted_adverts}"
            )
        for entry in gateway.book.entries:
            for heard in entry.heard:
                wrong_ms = abs(heard.heard_ms - heard.true_ms)
                if entry.clock is Clock.GOOD and wrong_ms > GOOD_WITHIN_MS:
                    raise WrongRowsError(f"{gateway.name} calls a clock good that is wrong by {wrong_ms} ms")


# --- what is read back


def _check_reads(world: World, rows: Iterable[Row]) -> None:
    by_serial: dict[int, list[Row]] = {}
    for row in rows:
        by_serial.setdefault(row.made.serial, []).append(row)
    with world.house.engine.connect() as tx:
        last = store.last_heard(tx, list(cast.SERIALS))
        if set(last) != set(by_serial):
            raise WrongRowsError(f"last heard of {sorted(last)}, and there are sightings of {sorted(by_serial)}")
        for serial, mine in sorted(by_serial.items()):
            newest_ms = max(row.heard_ms for row in mine)
            said = last[serial]
            found = {(row.gateway, row.made) for row in mine if row.heard_ms == newest_ms}
            told = (said.gateway, Made(said.serial, said.uptime_s, said.boot, said.status))
            if _ms(said.heard_at) != newest_ms or told not in found:
                raise WrongRowsError(f"last heard of {serial}: {said}, but {sorted(found)} at {moment(newest_ms)}")
            _check_history(world, tx, serial, mine)


def _check_history(world: World, tx, serial: int, mine: list[Row]) -> None:
    """The strongest hearing of each minute, boot and lag bucket, within the story."""
    begin, end = moment(world.truth.begins_ms), moment(world.truth.ends_ms) + timedelta(days=1)
    told = store.history(tx, serial, begin, end)
    groups: dict[tuple[int, int, int], list[Row]] = {}
    for row in mine:
        if begin <= moment(row.heard_ms) < end:
            bucket = (row.heard_ms - row.made.uptime_s * 1000) // (store.LAG_BUCKET_S * 1000)
            groups.setdefault((row.heard_ms // 60_000, row.made.boot, bucket), []).append(row)
    wanted = Counter(
        (minute, boot, bucket, max(r.rssi_max_dbm for r in rows), tuple(sorted({r.gateway for r in rows})))
        for (minute, boot, bucket), rows in groups.items()
    )
    found = Counter(
        (_ms(h.heard_at) // 60_000, h.boot, (_ms(h.heard_at) - h.uptime_s * 1000) // (store.LAG_BUCKET_S * 1000),
         h.rssi_max_dbm, h.receivers)
        for h in told
    )  # fmt: skip
    _compare(f"history of {serial}", wanted, found)
    moments = [hearing.heard_at for hearing in told]
    if moments != sorted(moments, reverse=True):
        raise WrongRowsError(f"history of {serial} is not in the order of time")
