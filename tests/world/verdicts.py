"""The oracle for verdicts: the world knows where each parcel was; what the house says of it must not contradict that.

1. Nothing is *proved* that did not happen, at whatever moment somebody asks; nor *supported*.
2. "Dispatched", said of a parcel that lay in the warehouse and was heard there after its pickup, is *refuted*.
3. A true "dispatched" whose parcel was heard outside is never refuted nor contradicted.
4. A recording is stale, a live frame is fresh; R-34 opens for the one and never for the other.
5. Neither thinning nor the order of arrival changes a word: the same order weighed from the books, each frame on its
   own and all known at once, gets the same verdicts as from the database.

A boot that no good clock heard live cannot be told from its recording (docs/rules.md, known limit): nothing is asked
of orders whose tag was replayed before that. The sightings of this page are those that reached the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from server.rules.evidence import Verdict
from server.rules.facts import GatewayClass, Heard, OrderFacts, Place, StatementKind
from server.rules.freshness import Freshness, judge
from server.rules.life import Step
from server.rules.moment import Moment
from server.rules.policy import SOLO
from server.rules.weigh import Weighing, weigh
from server.service import answers
from tests.world import cast
from tests.world.air import Made
from tests.world.cast import HOME, WAREHOUSE
from tests.world.gateways import Entry
from tests.world.timeline import HOUR_MS, MINUTE_MS, moment
from tests.world.truth import Parcel
from wire.batch import Clock

if TYPE_CHECKING:
    from tests.world.run import World

# Clocks that call themselves good differ by less than this, so an order of moments closer than it means nothing.
BLUR_MS: Final = 5_000
SHOWN: Final = frozenset({Verdict.PROVED, Verdict.SUPPORTED})
AGAINST: Final = frozenset({Verdict.REFUTED, Verdict.CONTRADICTED})
_CLASS: Final = {each.name: GatewayClass[each.gateway_class.name] for each in cast.GATEWAYS}


class WrongVerdictError(AssertionError):
    """The house says what the world knows to be untrue."""


@dataclass(frozen=True, slots=True)
class Known:
    """One stored frame of a tag, with what only the world knows: when it was really heard, and whether it was live."""

    gateway: str
    made: Made
    heard_ms: int
    true_ms: int
    replayed: bool
    good: bool
    place: tuple[int, int] | None


def check(world: World, *, final: bool) -> None:
    """Every order, as it is known now. Raises WrongVerdictError."""
    stored = _stored_entries(world)
    for parcel in world.truth.parcels:
        if parcel.order is None:
            continue
        with world.house.engine.begin() as tx:
            facts, weighed = answers.weighing(tx, parcel.order, SOLO, world.line.now)
        said = "; ".join(f"{v.kind} {v.verdict}" for v in weighed.verdicts)
        found = ",".join(sorted(finding.rule.id for finding in weighed.findings))
        world.line.tell(parcel.order, f"is weighed: {said} [{found}]")
        known = _known(world, parcel, stored)
        if _can_be_judged(known):
            _Judge(world, parcel, known, facts, weighed).all()
        if final:
            _twin(world, parcel, facts, weighed, stored)


def _stored_entries(world: World) -> list[Entry]:
    """Entries whose rows are in the database now, each once."""
    rows = world.house.witness.execute(
        "select distinct g.gateway, b.sent_at, s.heard_at, s.serial, s.uptime_s, s.boot from sightings s "
        "join batches b on b.no = s.batch_no join gateways g on g.no = b.gateway_no"
    )
    there = {(g, _ms(sent), _ms(heard), serial, up, boot) for g, sent, heard, serial, up, boot in rows}
    found: dict[object, Entry] = {}
    for gateway in world.gateways.values():
        for entry in (*gateway.book.entries, *gateway.lost):
            for heard in entry.heard:
                made = world.air.made.get(heard.frame)
                key = made and (entry.gateway, entry.sent_at_ms, heard.heard_ms, made.serial, made.uptime_s, made.boot)
                if key in there:
                    found[entry.name] = entry
    return list(found.values())


def _ms(at) -> int:
    return round(at.timestamp() * 1000)


def _known(world: World, parcel: Parcel, entries: Iterable[Entry]) -> list[Known]:
    known = []
    for entry in entries:
        for heard in entry.heard:
            made = world.air.made.get(heard.frame)
            if made is not None and made.serial == parcel.serial:
                place = None if entry.place is None else (entry.place.lat_e7, entry.place.lon_e7)
                good = entry.clock is Clock.GOOD
                known.append(Known(entry.gateway, made, heard.heard_ms, heard.true_ms, heard.replayed, good, place))
    return sorted(known, key=lambda k: (k.heard_ms, k.gateway, k.made))


def _can_be_judged(known: Iterable[Known]) -> bool:
    """Whether every boot that was replayed was also heard live by a good clock."""
    heard = list(known)
    live = {each.made.boot for each in heard if each.good and not each.replayed}
    return all(each.made.boot in live for each in heard if each.replayed and each.good)


class _Judge:
    """One order at one moment."""

    def __init__(self, world: World, parcel: Parcel, known: list[Known], facts: OrderFacts, weighed: Weighing) -> None:
        self._world, self._parcel, self._known = world, parcel, known
        self._facts, self._weighed = facts, weighed
        self._now_ms = world.line.now_ms

    def all(self) -> None:
        self._steps()
        self._gone()
        self._freshness()
        self._replays_are_found()

    def _wrong(self, what: str) -> None:
        said = {(v.kind.value, v.verdict.value) for v in self._weighed.verdicts}
        raise WrongVerdictError(f"{self._parcel.order} ({self._parcel.plan}): {what}; verdicts {sorted(said)}")

    @property
    def _left(self) -> bool:
        return self._parcel.left_ms is not None and self._parcel.left_ms <= self._now_ms

    # --- steps and words: shown only if it happened

    def _steps(self) -> None:
        parcel, now_ms = self._parcel, self._now_ms
        bound = parcel.word(StatementKind.SERIAL_BOUND)
        assert bound is not None
        around_ms = SOLO.packing_window_s * 1000 + BLUR_MS
        at_bench = parcel.was_at(WAREHOUSE, bound.said_ms - around_ms, bound.said_ms + around_ms + 5 * MINUTE_MS)
        back = parcel.back_ms is not None and parcel.back_ms <= now_ms
        happened = {
            Step.STOCKED: True,
            Step.BOUND: at_bench,
            Step.PACKED: at_bench,
            Step.LEFT: self._left,
            Step.ACCEPTED: self._left,
            Step.ON_THE_WAY: self._left,
            Step.DELIVERED: parcel.was_at(HOME, 0, now_ms) or parcel.was_at(cast.STREET, 0, now_ms),
            Step.CLAIMED: False,
            Step.ACTIVATED: False,
            Step.RETURNED: back,
        }
        for step in self._weighed.steps:
            if step.verdict in SHOWN and not happened[step.step]:
                self._wrong(f"the step {step.step} is {step.verdict}, and never happened: {step.why}")

    def _gone(self) -> None:
        word = self._parcel.word(StatementKind.DISPATCHED)
        for said in self._weighed.verdicts:
            if said.kind is not StatementKind.DISPATCHED or word is None:
                continue
            if said.verdict in SHOWN and not self._left:
                self._wrong(f"dispatched is {said.verdict}, and it never left: {said.why}")
            if said.verdict in AGAINST and self._left_in_time(word.said_ms):
                self._wrong(f"dispatched is {said.verdict}, and it left in time and was heard outside: {said.why}")
            if said.verdict is not Verdict.REFUTED and self._heard_inside(word.said_ms):
                self._wrong(f"dispatched is {said.verdict}, and it was heard inside after its pickup: {said.why}")

    def _live(self) -> list[Known]:
        return [each for each in self._known if each.good and not each.replayed]

    def _left_in_time(self, said_ms: int) -> bool:
        """It left with its pickup, was heard outside, and was not back within a day of that."""
        left_ms = self._parcel.left_ms
        deadline_ms = self._world.truth.gone_by(said_ms)
        if left_ms is None or left_ms > deadline_ms:
            return False
        outside = [each.heard_ms for each in self._live() if self._outside(each)]
        inside = [each.heard_ms for each in self._live() if self._own(each) and each.heard_ms > deadline_ms]
        day_ms = SOLO.return_min_s * 1000 + BLUR_MS
        return bool(outside) and all(at_ms >= min(outside) + day_ms for at_ms in inside)

    def _outside(self, each: Known) -> bool:
        bound = self._parcel.word(StatementKind.SERIAL_BOUND)
        assert bound is not None
        here = each.place is not None and each.place != (WAREHOUSE.place.lat_e7, WAREHOUSE.place.lon_e7)
        return here and not self._own(each) and each.heard_ms > bound.said_ms + BLUR_MS

    def _own(self, each: Known) -> bool:
        return _CLASS[each.gateway] is GatewayClass.OWN_SITE

    def _heard_inside(self, said_ms: int) -> bool:
        """Two frames inside after the pickup, each of a boot known for an hour, and nothing ever heard outside."""
        live = self._live()
        if any(self._outside(each) for each in live) or self._scanned():
            return False
        deadline_ms = self._world.truth.gone_by(said_ms) + BLUR_MS
        since: dict[int, int] = {}
        for each in live:
            since[each.made.boot] = min(since.get(each.made.boot, each.heard_ms), each.heard_ms)
        hour_ms = SOLO.anchor_age_s * 1000 + BLUR_MS
        proofs = {
            each.made
            for each in live
            if self._own(each)
            and each.heard_ms > deadline_ms
            and each.heard_ms >= since[each.made.boot] + hour_ms
            and not self._ended(each)
        }
        return len({(made.boot, made.uptime_s) for made in proofs}) >= SOLO.inside_sightings_min

    def _scanned(self) -> bool:
        return any(word.kind is StatementKind.CARRIER_SCAN and word.learnt_ms <= self._now_ms
                   for word in self._parcel.words)  # fmt: skip

    def _ended(self, each: Known) -> bool:
        """Heard so close to the next boot that clocks may have it after that."""
        later = [other.heard_ms for other in self._live() if other.made.boot > each.made.boot]
        return bool(later) and each.heard_ms > min(later) - BLUR_MS

    # --- freshness

    def _freshness(self) -> None:
        told: dict[tuple[str, int, int, int], set[bool]] = {}
        for each in self._known:
            key = (each.gateway, each.heard_ms, each.made.boot, each.made.uptime_s)
            told.setdefault(key, set()).add(each.replayed)
        for sighting in judge(self._facts.heard, SOLO, Moment(self._world.line.now)):
            row = sighting.row
            key = (row.gateway, _ms(sighting.at), row.boot, sighting.uptime_s)
            if key not in told:
                self._wrong(f"a sighting that is in no book: {key}")
            replayed = told[key]
            if not row.clock_good or len(replayed) == 2:
                continue
            if replayed == {True} and sighting.freshness is not Freshness.STALE:
                self._wrong(f"a recording counts as {sighting.freshness}: {key}")
            if replayed == {False} and sighting.freshness is not Freshness.FRESH and not self._near_a_boot(key[1]):
                self._wrong(f"a live frame counts as {sighting.freshness}: {key}")

    def _near_a_boot(self, at_ms: int) -> bool:
        """Clocks that differ by seconds may put the last frame of a boot behind the first of the next."""
        return any(abs(at_ms - boot_ms) < HOUR_MS // 2 for boot_ms in self._parcel.reboots_ms)

    def _replays_are_found(self) -> None:
        replayed = any(each.replayed and each.good for each in self._known)
        opened = any(finding.rule.id == "R-34" for finding in self._weighed.findings)
        if opened and not replayed:
            self._wrong("R-34 is open, and nobody replayed it")
        if replayed and not opened:
            self._wrong("it was replayed, and R-34 is not open")


# --- the twin


def _twin(world: World, parcel: Parcel, facts: OrderFacts, weighed: Weighing, stored: list[Entry]) -> None:
    """The same order from the books: every frame a row of its own, all of it known long ago."""
    owners = {each.name: each.owner for each in cast.GATEWAYS}
    rows = []
    for entry in stored:
        for heard in entry.heard:
            made = world.air.made.get(heard.frame)
            if made is None or made.serial != parcel.serial:
                continue
            own = _CLASS[entry.gateway] is GatewayClass.OWN_SITE
            at = moment(heard.heard_ms)
            rows.append(
                Heard(
                    serial=made.serial, boot=made.boot, gateway=entry.gateway, gateway_class=_CLASS[entry.gateway],
                    gateway_owner=owners[entry.gateway], site=cast.SITE if own else None, place=_place(entry),
                    clock_good=entry.clock is Clock.GOOD, first_at=at, last_at=at, first_uptime_s=made.uptime_s,
                    last_uptime_s=made.uptime_s, count=1, first_reached_at=at, reached_us_at=at, status=made.status,
                )
            )  # fmt: skip
    twin = weigh(replace(facts, heard=tuple(rows)), SOLO, world.line.now)
    for what, ours, theirs in (
        ("verdicts", _words(weighed), _words(twin)),
        ("findings", _found(weighed), _found(twin)),
    ):
        if ours != theirs:
            raise WrongVerdictError(
                f"{parcel.order} ({parcel.plan}): from the books its {what} are another: "
                f"{sorted(ours - theirs)} in the database, {sorted(theirs - ours)} in the books"
            )


def _place(entry: Entry) -> Place | None:
    place = entry.place
    return None if place is None else Place(place.lat_e7 / 1e7, place.lon_e7 / 1e7, float(place.accuracy_m))


def _words(weighed: Weighing) -> set[tuple[str, str, str]]:
    words = {("said", f"{v.statement} {v.kind}", str(v.verdict)) for v in weighed.verdicts}
    return words | {("step", str(s.step), str(s.verdict)) for s in weighed.steps}


def _found(weighed: Weighing) -> set[tuple[str, str]]:
    """Which findings are open. Not their subjects: between two ends of a thinned row one jump of R-34 may be hidden by
    another, or by the lateness that shows the same recording.
    """
    return {(f.rule.id, str(f.slot)) for f in weighed.findings}
