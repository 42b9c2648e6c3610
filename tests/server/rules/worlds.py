"""Worlds for property tests: random facts about one order, whose moments land on and beside the rules' boundaries.

A moment is a boundary (pickup, ship-by, grace, anchor …) plus an offset that straddles it; times drawn at random would
almost never meet one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import strategies as st

from server.rules.causes import CauseKind
from server.rules.facts import (
    Act,
    ActKind,
    BeaconMode,
    CohortMark,
    Healthy,
    Heard,
    OrderFacts,
    Source,
    Statement,
    StatementKind,
    Unit,
)
from server.rules.listening import ListenedDay
from server.rules.payloads import (
    About,
    Assertion,
    ChannelState,
    Contact,
    Offer,
    OfferKind,
    Payment,
    PromiseKind,
    PromiseMade,
    PublicText,
    Wants,
)
from tests.server.rules.build import (
    GATEWAYS,
    NUMBER,
    POWER_UP,
    SERIAL,
    act,
    at,
    bound,
    dispatched,
    facts,
    hear,
    label,
    promise,
    say,
    scan,
)
from tests.server.rules.worlds_parcels import parcel_words, with_address

OTHER = 4712
END = at("Fri 12:00", week=2)

# Where answers change: order, bench, pickups, settle and grace, evidence due, ship-by, label warnings, promise due.
BOUNDARIES = (
    POWER_UP + timedelta(hours=1),
    at("Mon 09:00"),
    at("Mon 10:00"),
    at("Tue 10:05"),
    at("Tue 10:35"),
    at("Tue 17:00"),
    at("Tue 19:00"),
    at("Tue 23:00"),
    at("Wed 17:00"),
    at("Wed 19:00"),
    at("Thu 00:00"),
    at("Fri 00:00"),
    at("Sat 00:00"),
    at("Wed 00:00", week=1),
)
OFFSETS = (-86_400, -3600, -31, -30, -1, 0, 1, 30, 31, 36, 1800, 3600, 86_400)

moments = st.builds(
    lambda boundary, offset_s: boundary + timedelta(seconds=offset_s),
    st.sampled_from(BOUNDARIES),
    st.sampled_from(OFFSETS),
)
slots = st.sampled_from((1, 2))

VIEWS = (
    Assertion(About.STEP, "with_us"),
    Assertion(About.STEP, "left"),
    Assertion(About.SERVICE, "ground"),
    Assertion(About.SERVICE, "overnight"),
    Assertion(About.ARRIVAL, by_when=at("Thu 00:00")),
    Assertion(About.ARRIVAL, by_when=at("Sat 00:00")),
)


@st.composite
def statements(draw: st.DrawFn, number: int) -> Statement:
    """One statement of any kind that rules read, about a slot or the whole order, with its own way of being dated."""
    said_at = draw(moments)
    usual = ("bound", "packed", "label", "said", "scan", "promise", "contact", "end", "delivered")
    kind = draw(
        st.sampled_from((*usual, "view", "offer", "asks_back", "keeps", "text", "channel", "money", "returned"))
    )
    made = {
        "view": lambda: say(
            StatementKind.ASSERTION,
            said_at,
            draw(st.sampled_from(VIEWS)),
            source=draw(st.sampled_from((Source.STAFF, Source.STAFF, Source.SYSTEM, Source.CARRIER, Source.CUSTOMER))),
        ),
        "offer": lambda: say(StatementKind.OFFER, said_at, Offer(draw(st.sampled_from(tuple(OfferKind))))),
        "asks_back": lambda: say(StatementKind.REFUND_REQUESTED, said_at, source=Source.CUSTOMER),
        "keeps": lambda: say(
            StatementKind.PROMISE, said_at, PromiseMade(PromiseKind.ARRIVE, draw(moments), lapse="refund")
        ),
        "text": lambda: say(StatementKind.PUBLIC_TEXT, said_at, PublicText("soon", draw(st.sampled_from((None, 24))))),
        "channel": lambda: say(StatementKind.CHANNEL_STATE, said_at, ChannelState("chat", draw(st.booleans()))),
        "bound": lambda: bound(said_at, draw(st.sampled_from((SERIAL, OTHER))), draw(slots)),
        "packed": lambda: say(StatementKind.PACKED, said_at, source=Source.WAREHOUSE),
        "label": lambda: label(said_at, draw(st.sampled_from((NUMBER, "other")))),
        "said": lambda: dispatched(said_at, said_at - timedelta(days=draw(st.sampled_from((0, 0, 7))))),
        "scan": lambda: scan(
            said_at,
            draw(st.sampled_from(("pre_transit", "in_transit", "out_for_delivery", "delivered", "return_to_sender"))),
            draw(st.booleans()),
            found=draw(st.sampled_from((True, True, False))),
        ),
        "promise": lambda: promise(
            said_at,
            draw(st.sampled_from(("ship", "reship", "number_live", "arrive", "reply", "refund"))),
            draw(moments),
        ),
        "contact": lambda: say(
            StatementKind.CONTACT,
            said_at,
            Contact(draw(st.booleans()), "mail", draw(st.booleans()), wants=draw(st.sampled_from(tuple(Wants)))),
        ),
        "money": lambda: say(
            StatementKind.REFUNDED, said_at, Payment(1600, "USD", draw(st.sampled_from(("", "overnight"))))
        ),
        "returned": lambda: say(StatementKind.RETURNED, said_at, source=Source.WAREHOUSE),
        "end": lambda: say(StatementKind.ORDER_CANCELLED, said_at),
        "delivered": lambda: say(StatementKind.DELIVERED, said_at),
    }[kind]()
    learnt_at = said_at + timedelta(seconds=draw(st.sampled_from((0, 1, 3600, 86_400))))
    return replace(made, id=f"s{number}", slot=draw(st.sampled_from((made.slot, made.slot, None))), learnt_at=learnt_at)


@st.composite
def heard_rows(draw: st.DrawFn) -> Heard:
    """A row of live, slightly late or recorded frames at any gateway."""
    first_at = draw(moments)
    last_at = first_at + timedelta(seconds=draw(st.sampled_from((0, 0, 31, 3600, 80_000))))
    row = hear(
        draw(st.sampled_from(sorted(GATEWAYS))),
        first_at,
        last_at,
        serial=draw(st.sampled_from((SERIAL, SERIAL, SERIAL, OTHER))),
        boot=draw(st.sampled_from((1, 1, 1, 2))),
        late_s=draw(st.sampled_from((0, 0, 0, 29, 30, 31, 36, 86_400))),
        clock_good=draw(st.sampled_from((True, True, True, False))),
    )
    delay = timedelta(seconds=draw(st.sampled_from((0, 40, 86_400))))
    return replace(row, first_reached_at=first_at + delay, reached_us_at=last_at + delay)


@st.composite
def acts(draw: st.DrawFn, number: int) -> Act:
    """An owner's act on either serial."""
    usual = (ActKind.CLAIMED, ActKind.ACTIVATED, ActKind.ACTIVATED, ActKind.TRANSFERRED, ActKind.RELEASED)
    kind = draw(st.sampled_from((*usual, ActKind.REMEDY_AUTHORISED)))
    made = act(kind, draw(moments), draw(st.sampled_from(("one", "two"))), draw(st.sampled_from((SERIAL, OTHER))))
    return replace(made, id=f"a{number}")


@st.composite
def cohort_marks(draw: st.DrawFn) -> CohortMark:
    """The order is one of several with one cause, perhaps no longer."""
    since = draw(moments)
    ended_at = draw(st.sampled_from((None, since + timedelta(hours=1))))
    kind, cause = draw(st.sampled_from(((CauseKind.LOT, "A"), (CauseKind.PACKED_BY, "Xaver Quirin"))))
    return CohortMark("R-02", kind, cause, 6, since, ended_at)


def listening_to(place_hears: int) -> tuple[ListenedDay, ...]:
    """Seven tags at the address for two months, of which on each day `place_hears` are heard, and all at the ends."""
    first = at("Mon 12:00", week=-5).date()
    days = [first + timedelta(days=number) for number in range(63)]
    return tuple(
        ListenedDay(day, frozenset(range(1, 8) if day in (days[0], days[-1]) else (
            1 + (7 * number // 3 + each) % 7 for each in range(place_hears)
        )))
        for number, day in enumerate(days)
    )  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn, live: bool = False) -> OrderFacts:
    """An order with one or two slots, facts in any order. `live`: no stale rows and only good clocks."""
    parts: list[Statement | Heard | Act] = []
    if draw(st.booleans()):
        parts.append(hear("bench", BOUNDARIES[0], at("Mon 08:00")))
    if draw(st.booleans()):
        parts.append(replace(bound(at("Mon 10:00")), id="bound"))
    parts += [draw(statements(number)) for number in range(draw(st.integers(0, 6)))]
    parts += [draw(parcel_words(number, moments)) for number in range(draw(st.integers(0, 4)))]
    rows = draw(st.lists(heard_rows(), max_size=6))
    parts += [_as_live(row) for row in rows] if live else rows
    parts += [draw(acts(number)) for number in range(draw(st.integers(0, 2)))]
    mode = draw(st.sampled_from(tuple(BeaconMode)))
    marks = draw(st.lists(cohort_marks(), max_size=1))
    world = draw(with_address(facts(*parts, slots=draw(st.integers(1, 2)), unit=Unit(SERIAL, beacon_mode=mode))))
    up_until = draw(st.sampled_from((None, at("Mon 12:00"), at("Wed 19:00"))))
    return replace(
        world,
        order=replace(world.order, account=draw(st.sampled_from((None, "one")))),
        healthy=tuple(Healthy(up.gateway, up.from_at, up_until) for up in world.healthy),
        cohorts=tuple(marks),
        listened=listening_to(draw(st.sampled_from((0, 3, 5)))),
    )


def _as_live(row: Heard) -> Heard:
    uptimes = [int((end - POWER_UP).total_seconds()) for end in (row.first_at, row.last_at)]
    return replace(row, boot=1, clock_good=True, first_uptime_s=uptimes[0], last_uptime_s=uptimes[1])


def known_from(world: OrderFacts) -> datetime:
    """The first moment at which every fact of the world is known."""
    learnt = [s.learnt_at for s in world.statements] + [a.learnt_at for a in world.acts]
    learnt += [max(r.last_at, r.first_reached_at, r.reached_us_at) for r in world.heard]
    return max(learnt, default=at("Mon 09:00"))
