"""Whatever staff say, in whatever order: no customer reads that a parcel left us before evidence shows it.

A stateful machine plays staff of every role on the real application and a real PostgreSQL: orders, words of every kind
and source, corrections, promises, contacts and calls, labels, messages to the customer, files of shipments, remedies
and the rounds that carry them out, time that passes, and receivers of our own that hear the tag inside. There is no
carrier's scan, no receiver elsewhere and no receipt, so nothing may ever be shown that lies behind packing. More
examples: `pytest --hypothesis-profile=long tests/server/web/test_never_shipped.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from server.rules.authority import STAFF, Action, Role
from server.rules.facts import Source, StatementKind
from server.rules.life import Step, far
from server.rules.payloads import About, OfferKind, PromiseKind, Wants
from server.rules.shown import HAS_LEFT
from server.service.orders import ONLY_FROM
from server.sweep.remedies import sweep_remedies
from tests.server.service.remedy_town import shop_of
from tests.server.service.test_imports import SHIPMENTS, sheet
from tests.server.service.test_messages import letters
from tests.server.web.town import HAMBURG, Somebody, Tag, Town, order
from wire.batch import GatewayClass

DESK = sorted(STAFF - {Role.OPERATOR})
THEIRS = [str(each) for each in Source if each not in (Source.CARRIER, Source.SYSTEM)]
NUMBER = "1Z999AA10123456784"
# Read by a customer as "it has left us": the sentences of the answer, and the note of a rule that needs the radio.
CLAIMS = (*HAS_LEFT.values(), "Your parcel came back to us.", "Your parcel is on its way")
GONE = ("dispatched", "shipped_notice", "delivered")
SHARED = ("as_of", "shown", "tracking", "replayed", "late")

ago_h = st.sampled_from((0, 0, 1, 25, 24 * 8))
moments = st.integers(-400, 400)  # hours from now: due moments and dates of arrival
# Words and inserts of messages; half of them claim what nobody saw.
texts = st.sampled_from(
    ("Thank you for waiting.", "It was dispatched weeks ago.", "It is with the courier.", "{status} {evidence}",
     "It left us on {left}, by {carrier_number}.", "{next} {carrier_scan} {eta}", "It will be delivered soon.")
)  # fmt: skip
CALLS = ("talked", "no_answer", "mailbox_full", None)


class Desk(RuleBasedStateMachine):
    """Everything that can be done about one order by people who have no evidence."""

    town: ClassVar[Town]
    dock: ClassVar[str]
    people: ClassVar[list[Somebody]]
    carriers: ClassVar[Somebody]
    count: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []
        self.notices = self.deeds = 0
        self.heard = False
        self.tag: Tag | None = None

    @initialize(units=st.integers(1, 2), site=st.booleans())
    def place(self, units: int, site: bool) -> None:
        type(self).count += 1
        self.town.wait(minutes=2)  # links are given out ten in ten minutes
        self.number = f"S-{self.count}"
        slots: list[dict[str, Any]] = [{} for _ in range(units)]
        lines = [{"sku": "TAG-1", "title": "Tag", "slots": slots}]
        placed_at = (self.town.now - timedelta(days=10)).isoformat()
        more = {"site": self.dock} if site else {}
        self.people[0].post("/orders", order(self.number, lines=lines, placed_at=placed_at, **more))
        self.units = units
        self.open_link()

    def open_link(self) -> None:
        link = self.town.nobody().post(f"/orders/{self.number}/view", {"email": "ann@example.com"})
        self.link = {"x-order-link": link["token"]}
        self.page = link["url"].removeprefix("http://tags.test")

    # --- what staff do

    @rule(
        who=st.integers(0, len(DESK) - 1),
        kind=st.sampled_from([each for each in StatementKind if each is not StatementKind.CARRIER_SCAN]),
        source=st.sampled_from(THEIRS),
        ago=ago_h,
        dated=st.booleans(),
        whole=st.booleans(),
        dice=st.data(),
    )
    def say(self, who: int, kind: StatementKind, source: str, ago: int, dated: bool, whole: bool, dice: Any) -> None:
        said_at = self.town.now - timedelta(hours=ago)
        words = {
            "key": f"k{len(self.keys)}", "kind": kind, "said_at": said_at.isoformat(), "by": "Bob", "source": source,
            "payload": self.payload(kind, dice.draw), "slot": None if whole else dice.draw(st.integers(1, self.units)),
        }  # fmt: skip
        if dated:
            words["at"] = said_at.isoformat()
        self.record(who, words)

    @precondition(lambda self: self.keys)
    @rule(who=st.integers(0, len(DESK) - 1), wrong=st.booleans(), dice=st.data())
    def correct(self, who: int, wrong: bool, dice: Any) -> None:
        kind = dice.draw(st.sampled_from((StatementKind.NOTE, StatementKind.DISPATCHED, StatementKind.DELIVERED)))
        words = {
            "key": f"k{len(self.keys)}", "kind": kind, "said_at": self.town.now.isoformat(), "by": "Bob",
            "source": "staff", "corrects": dice.draw(st.sampled_from(self.keys)),
            "correction": "did_not_occur" if wrong else "incorrect_data",
        }  # fmt: skip
        self.record(who, words)

    @rule(who=st.integers(0, len(DESK) - 1), source=st.sampled_from(("carrier", "staff")), status=st.sampled_from(
        ("in_transit", "delivered")
    ))  # fmt: skip
    def forge(self, who: int, source: str, status: str) -> None:
        """A carrier's scan from a desk is refused, whoever is said to have seen it."""
        scan = {"carrier": "UPS", "number": NUMBER, "status": status, "physical": True}
        words = {
            "key": "forged", "kind": "carrier_scan", "said_at": self.town.now.isoformat(), "by": "Bob",
            "source": source, "payload": scan,
        }  # fmt: skip
        answer = self.people[who].call("POST", f"/orders/{self.number}/statements", json={"statements": [words]})
        assert answer.status_code in (403, 422), answer.text

    @rule(
        who=st.integers(0, len(DESK) - 1), text=texts, step=st.sampled_from(("", "left", "with_carrier", "arrived")),
        due=moments, reason=st.sampled_from(("", "I was told so.")),
        remedy=st.sampled_from((None, "express_reship", "full_refund")),
    )  # fmt: skip
    def write(self, who: int, text: str, step: str, due: int, reason: str, remedy: str | None) -> None:
        """A message to the customer goes out, or is stopped; what goes out says nothing of ours that is not shown."""
        self.deeds += 1
        at = (self.town.now + timedelta(hours=due)).isoformat()
        message = {
            "key": f"m{self.deeds}", "text": text, "reason": reason, "remedy": remedy,
            "says": [{"about": "step", "value": step}] if step else [],
            "promises": [{"what": "ship", "due": at}] if due > 0 else [],
        }  # fmt: skip
        self.deed(who, "messages", message, 201, 403, 409, 422)

    @rule(who=st.integers(0, len(DESK) - 1), inbound=st.booleans(), outcome=st.sampled_from(CALLS))
    def log(self, who: int, inbound: bool, outcome: str | None) -> None:
        """A contact as staff note it: a call with its outcome, or another way."""
        self.deeds += 1
        how = {"channel": "call" if outcome else "chat", "outcome": outcome, "direction": "in" if inbound else "out"}
        contact = {"key": f"c{self.deeds}", "text": "It arrived, she says.", **how}
        self.deed(who, "contacts", contact, 201)

    @rule(who=st.integers(0, len(DESK) - 1), action=st.sampled_from([str(each) for each in Action][:5]))
    def remedy(self, who: int, action: str) -> None:
        """A remedy is asked for, and granted where the role may; the rounds carry it out. A label is no shipment."""
        wanted = {"action": action, "reason": "It must have left.", "although_slow": True}
        self.deed(who, "remedies", wanted, 201, 403, 409, 422)
        self.town.wait(hours=1)
        sweep_remedies(shop_of(self.town)[0])

    @rule(who=st.integers(0, len(DESK) - 1), number=st.sampled_from((NUMBER, "")), ago=ago_h, bound=st.booleans())
    def ship_by_file(self, who: int, number: str, ago: int, bound: bool) -> None:
        """A file of the warehouse says that the units are gone, by this label, with this tag."""
        if bound and self.units == 1:
            self.tag = self.tag or self.town.tag()
        serial = self.tag.serial if bound and self.units == 1 and self.tag else ""
        day = (self.town.now - timedelta(hours=ago)).date()
        row = f"{self.number},,{self.units},{day},UPS,,{number},overnight,1,{serial}"
        headers = {"content-type": "text/csv"}
        self.town.wait(minutes=1)  # twenty files in five minutes
        answer = self.people[who].call("POST", "/imports/shipments", content=sheet(SHIPMENTS, row), headers=headers)
        assert answer.status_code == 201, answer.text

    @rule(status=st.sampled_from(("pre_transit", "unknown", "in_transit", "delivered")), found=st.booleans())
    def notice(self, status: str, found: bool) -> None:
        """What a carrier tells electronically, without having had the parcel in hand."""
        self.notices += 1
        scan = {"carrier": "UPS", "number": NUMBER, "status": status, "physical": False, "found": found}
        words = {
            "key": f"n{self.notices}", "kind": "carrier_scan", "said_at": self.town.now.isoformat(), "by": "UPS",
            "at": self.town.now.isoformat(), "source": "carrier", "payload": scan,
        }  # fmt: skip
        self.carriers.post(f"/orders/{self.number}/statements", {"statements": [words]})

    @rule(hours=st.sampled_from((1, 7, 25, 24 * 8, 24 * 40)))
    def wait(self, hours: int) -> None:
        self.town.wait(hours=hours)
        self.open_link()  # one lives for a month

    @precondition(lambda self: self.tag is not None)
    @rule(minutes=st.integers(1, 600))
    def hear_inside(self, minutes: int) -> None:
        """Our own receiver hears the tag that was bound: it is with us."""
        assert self.tag is not None
        at = self.town.now - timedelta(minutes=minutes)
        self.town.hear("dock-1", self.tag.serial, HAMBURG, [at, at + timedelta(seconds=50)])
        self.heard = True

    # --- what must hold

    @invariant()
    def nothing_is_shown_before_evidence(self) -> None:
        if not hasattr(self, "number"):
            return
        nobody = self.town.nobody()
        customer = nobody.get(f"/orders/{self.number}/customer", headers=self.link)
        staff = self.people[0].get(f"/orders/{self.number}")
        assert {name: customer[name] for name in SHARED} == {name: staff[name] for name in SHARED}
        assert customer["notes"] == list(
            dict.fromkeys(f["rule"]["customer"] for f in staff["findings"] if f["rule"]["customer"])
        )
        for slot in customer["shown"]["slots"]:
            assert slot["shown"] == slot["evidenced"]
            reached = Step(slot["shown"]) if slot["shown"] else None
            assert far(reached) <= far(Step.PACKED), slot
            assert reached is None or self.heard, "packing is shown by a receiver of ours only"
            if slot["stated"] and far(Step(slot["stated"])) > far(Step.PACKED):
                assert slot["word"] != "shown by evidence", slot
        weak = ("stated", "unknown", "contradicted", "refuted")
        assert all(v["verdict"] in weak for v in staff["verdicts"] if v["kind"] in GONE)
        assert all(s["verdict"] in weak for s in staff["steps"] if Step(s["step"]) in HAS_LEFT)
        page = self.town.client.get(self.page)
        assert page.status_code == 200
        for text in (page.text, *_texts(customer), *letters(self.town)):
            assert not any(claim in text for claim in CLAIMS), text

    # --- how it is said

    def record(self, who: int, words: dict[str, Any]) -> None:
        answer = self.people[who].call("POST", f"/orders/{self.number}/statements", json={"statements": [words]})
        own = ONLY_FROM.get(words["kind"])
        if own is not None and own != words["source"]:
            assert answer.status_code == 422, "a promise is let go by whom it was made to"
            return
        assert answer.status_code == 201, answer.text
        self.keys.append(words["key"])

    def deed(self, who: int, what: str, body: dict[str, Any], *allowed: int) -> None:
        """Something that may be refused, but never breaks."""
        answer = self.people[who].call("POST", f"/orders/{self.number}/{what}", json=body)
        assert answer.status_code in allowed, answer.text

    def payload(self, kind: StatementKind, draw: Any) -> dict[str, Any]:
        """A payload that this kind takes; words that claim what nobody saw among them."""
        now = self.town.now

        def moment() -> str:
            return str((now + timedelta(hours=draw(moments))).isoformat())

        match kind:
            case StatementKind.PAYMENT | StatementKind.REFUNDED:
                return {"amount_minor": 1600, "currency": "USD", "service": draw(st.sampled_from(("", "overnight")))}
            case StatementKind.SERIAL_BOUND:
                self.tag = self.tag or self.town.tag()
                return {"serial": self.tag.serial}
            case StatementKind.LABEL_PRINTED:
                return {"carrier": "UPS", "number": NUMBER, "leg": draw(st.integers(1, 2)), "eta": moment()}
            case StatementKind.LABEL_QUOTED:
                return {"carrier": "UPS", "service": "overnight", "eta": moment()}
            case StatementKind.LEG_ENDED:
                return {"carrier": "UPS", "place": "Louisville", "text": "handed over"}
            case StatementKind.NUMBER_GIVEN:
                return {"number": NUMBER}
            case StatementKind.PROMISE:
                what = draw(st.sampled_from([str(each) for each in PromiseKind]))
                return {"what": what, "due": moment(), "lapse": draw(st.sampled_from(("", "refund")))}
            case StatementKind.PROMISE_CANCELLED:
                self.keys.append(f"p{len(self.keys)}")
                made = {"what": "ship", "due": now.isoformat()}
                promise = {
                    "key": self.keys[-1], "kind": "promise", "said_at": now.isoformat(), "by": "Bob",
                    "source": "staff", "payload": made,
                }  # fmt: skip
                self.people[0].post(f"/orders/{self.number}/statements", {"statements": [promise]})
                return {"promise": self.keys[-1]}
            case StatementKind.CONTACT:
                wants = draw(st.sampled_from([str(each) for each in Wants]))
                return {"inbound": draw(st.booleans()), "channel": "mail", "text": "it arrived", "wants": wants}
            case StatementKind.ASSERTION:
                about, value = draw(
                    st.sampled_from(((About.STEP, "left"), (About.STEP, "with_carrier"), (About.STEP, "arrived"),
                                     (About.SERVICE, "overnight"), (About.ARRIVAL, "")))
                )  # fmt: skip
                return {"about": about, "value": value, **({"by_when": moment()} if about is About.ARRIVAL else {})}
            case StatementKind.OFFER:
                return {"what": draw(st.sampled_from([str(each) for each in OfferKind]))}
            case StatementKind.PUBLIC_TEXT:
                return {"text": "Everything is shipped on the same day."}
            case StatementKind.CHANNEL_STATE:
                return {"channel": "chat", "works": draw(st.booleans()), "why": "mailbox_full"}
            case _:
                return {"text": "It left us and was delivered; I saw it myself."}


def _texts(customer: dict[str, Any]) -> list[str]:
    """Every sentence of ours that the customer reads; what somebody said stands in the timeline as said."""
    shown = customer["shown"]
    slots = [text for slot in shown["slots"] for text in (slot["sentence"], slot["next_text"], *slot["reasons"])]
    return [shown["sentence"], shown["next_text"], *shown["reasons"], *slots, *customer["notes"]]


def test_no_word_of_staff_makes_a_customer_read_shipped(town: Town) -> None:
    Desk.town, Desk.dock, Desk.count = town, town.site(), 0
    town.gateway("dock-1", GatewayClass.OWN_SITE, "dock", HAMBURG)
    Desk.people, Desk.carriers = [town.staff(role) for role in DESK], town.staff(Role.OPERATOR)
    examples = max(settings.default.max_examples // 8, 1) if settings.default else 12
    # A failing run is told as it was played: to shorten it takes minutes, and twelve steps are short.
    told = settings(max_examples=examples, stateful_step_count=12, deadline=None, phases=[Phase.reuse, Phase.generate])
    run_state_machine_as_test(Desk, settings=told)
