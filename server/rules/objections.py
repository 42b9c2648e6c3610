"""Everything that speaks against a message before it goes out, with what to say instead.

`check` gives the text as it would go out and its objections. A closed table says which stop it and which its writer may
answer with a reason; `docs/messages.md` lists the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from server.rules import business_days, phrases, words
from server.rules.authority import Action, may
from server.rules.case import Case, SlotCase, lay_out
from server.rules.drafts import DRAFT, Draft, Part, Promises, Says, Sender, as_said, parts
from server.rules.evidence import AGAINST, Verdict, worst
from server.rules.facts import OrderFacts, StatementKind
from server.rules.findings.finding import Finding
from server.rules.findings.registry import CATALOGUE
from server.rules.inserts import Known, OnFile, fill
from server.rules.life import Step, far
from server.rules.moment import Moment
from server.rules.payloads import About, Label, Nothing
from server.rules.policy import Policy
from server.rules.promises import CONDITIONS
from server.rules.remedy_life import MONEY
from server.rules.remedy_money import money_of
from server.rules.repeated import REMEDIES, remedied, repeats
from server.rules.tracking import decode
from server.rules.weigh import Weighing, weigh


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means; `stops`: no reason lets the message go."""

    stops: bool
    means: str


CODES: Final[Mapping[str, Meaning]] = {
    "empty": Meaning(True, "The message says nothing."),
    "insert_unknown": Meaning(True, "There is no insert of this name."),
    "insert_missing": Meaning(True, "The fact that an insert should name does not exist."),
    "not_shown": Meaning(True, "It asserts what no evidence shows."),
    "against_evidence": Meaning(True, "Evidence says the opposite."),
    "promise_without_due": Meaning(True, "A promise names no due moment."),
    "promise_past": Meaning(True, "A promise is due before it is made."),
    "promise_repeated": Meaning(True, "The same was promised before and not done; without a remedy it is only words."),
    "remedy_not_yours": Meaning(True, "Its sender may not grant the remedy that goes with it."),
    "not_a_carrier_number": Meaning(True, "No carrier can look up the number that it gives."),
    "names_staff": Meaning(True, "It names a member of staff; customers write to the shop, not to a person."),
    "words_not_shown": Meaning(False, "A sentence sounds as if it had left; nothing shows that so far."),
    "refund_not_shown": Meaning(False, "A sentence says that money is back; no refund is booked."),
    "promise_in_words": Meaning(False, "A sentence promises something that nobody can hold us to."),
    "contradicts": Meaning(False, "One of us said the opposite before."),
    "refund_deflected": Meaning(False, "A refund was asked for, and this offers something else."),
    "number_doubtful": Meaning(False, "The number is not one of this order, or a finding says that it is in doubt."),
    "address_known": Meaning(False, "It asks for an address that is on file."),
    "opens_finding": Meaning(False, "A rule would find fault with it as soon as it is said."),
}


@dataclass(frozen=True, slots=True)
class Objection:
    """One thing that speaks against a draft. `about`: the sentence, insert, promise or number meant."""

    code: str
    rule: str
    about: str
    why: str
    say: str

    @property
    def stops(self) -> bool:
        """True if no reason lets the message go."""
        return CODES[self.code].stops


@dataclass(frozen=True, slots=True)
class Checked:
    """A draft as it would go out (`letter`), and what speaks against it, the graver first."""

    letter: str
    objections: tuple[Objection, ...]

    @property
    def stopped(self) -> tuple[Objection, ...]:
        """Those that no reason answers."""
        return tuple(each for each in self.objections if each.stops)


def check(
    facts: OrderFacts, weighed: Weighing, draft: Draft, sender: Sender, on_file: OnFile, policy: Policy, now: datetime
) -> Checked:
    """Weigh a draft before it goes out. `weighed` is the order's weighing at `now`, without the draft."""
    case = lay_out(facts, policy, Moment(now))
    due = min((p.due for p in draft.promises if p.due is not None), default=None)
    known = Known(case, weighed, on_file, draft.slot, due)
    desk = _Desk(known, draft, sender)
    text, missing = fill(draft.text, known)
    found = [
        *(
            Objection("insert_missing" if m.known else "insert_unknown", "", f"{{{m.name}}}", m.why, "")
            for m in missing
        ),
        *desk.empty(),
        *desk.asserted(),
        *desk.in_words(),
        *desk.promised(),
        *desk.numbered(),
        *desk.asked(),
        *desk.named(text),
    ]
    found += desk.opened({each.rule for each in found if each.rule})
    found = list(dict.fromkeys(found))
    found.sort(key=lambda each: (not each.stops, list(CODES).index(each.code)))
    return Checked(_letter(case, known, draft, text, found), tuple(found))


def _letter(case: Case, known: Known, draft: Draft, text: str, found: Iterable[Objection]) -> str:
    """The text, each promise with what keeps it, and beside words that nothing shows what evidence does say."""
    lines = [text.strip()]
    for each in draft.promises:
        if each.due is not None:
            due = words.due(each.due, case.zone)
            lines.append(f"Promised: {_said(each.what)} by {due}. It counts as kept by: {CONDITIONS[each.what].words}")
    if any(each.code == "words_not_shown" for each in found):
        lines += [f"What evidence shows now: {s}" for s in dict.fromkeys(known.shown(u).sentence for u in known.units)]
    return "\n\n".join(line for line in lines if line)


def _said(word: str) -> str:
    return word.replace("_", " ")


_NOT_YET: Final = "Nothing shows it so far."
# What must be shown before it may be said.
_NEEDS: Final[Mapping[str, Step]] = {"left": Step.LEFT, "with_carrier": Step.ACCEPTED, "arrived": Step.DELIVERED}
# Found of what was said before, they say already that the words are wrong.
_DENY: Final = ("R-17", "R-35", "R-05")
_CODE_OF: Final[Mapping[str, str]] = {
    "R-05": "not_shown",
    "R-13": "not_a_carrier_number",
    "R-15": "against_evidence",
    "R-17": "against_evidence",
    "R-19": "contradicts",
    "R-21": "refund_deflected",
    "R-35": "not_shown",
}
# What a message answers rather than opens, and R-18, which is asked before (`repeated`).
_NOT_OF_WORDS: Final = frozenset({"R-18", "R-22", "R-23", "R-28"})
_IN_DOUBT: Final = frozenset({"R-06", "R-07", "R-08"})


@dataclass(frozen=True, slots=True)
class _Desk:
    known: Known
    draft: Draft
    sender: Sender
    _judged: dict[tuple[int, timedelta | None], tuple[Verdict, str]] = field(default_factory=dict, init=False)

    @property
    def case(self) -> Case:
        return self.known.case

    @property
    def now(self) -> datetime:
        return self.known.weighed.as_of

    def empty(self) -> Iterator[Objection]:
        if not self.draft.text.strip() and not self.draft.promises:
            yield Objection("empty", "", "", CODES["empty"].means, "")

    # --- where it is ---------------------------------------------------------------------------------------------

    def asserted(self) -> Iterator[Objection]:
        for says in self.draft.says:
            if says.about is About.STEP:
                yield from self._step(says)
            elif says.about is About.ARRIVAL and says.by_when is not None and self._no_estimate():
                why = "No carrier has said when it arrives; what only we expect is a promise."
                yield Objection("words_not_shown", "R-15", "arrives", why, "Say it as a promise with a due moment.")

    def _step(self, says: Says) -> Iterator[Objection]:
        about = _said(says.value)
        if says.value in _NEEDS:
            unit = self._unshown(_NEEDS[says.value])
            if unit is not None:
                verdict, why = self._verdict(unit, says.at_least_ago)
                against = verdict in AGAINST
                code, rule = ("against_evidence", "R-17") if against else ("not_shown", self._denied(unit) or "R-05")
                yield Objection(code, rule, about, why if against else _NOT_YET, self.known.shown(unit).sentence)
        elif says.value == "with_us":
            gone = [u for u in self.known.units if far(self.known.shown(u).evidenced) >= far(Step.LEFT)]
            for unit in gone[:1]:
                why = "Evidence shows that it left us."
                yield Objection("against_evidence", "R-15", about, why, self.known.shown(unit).sentence)

    def in_words(self) -> Iterator[Objection]:
        """Sentences of the free text that claim what is not shown, or promise what nobody wrote down as a promise."""
        for claim in phrases.claims(self.draft.text):
            unit = self._unshown(_NEEDS[claim.step])
            if unit is None:
                continue
            verdict, why = self._verdict(unit, claim.ago)
            denied = self._denied(unit)
            say = self.known.shown(unit).sentence
            if verdict in AGAINST or denied:
                rule = "R-17" if verdict is Verdict.REFUTED else denied or "R-05"
                yield Objection("against_evidence", rule, claim.sentence, why, say)
            else:
                yield Objection("words_not_shown", "R-05", claim.sentence, _NOT_YET, say)
        yield from self._refunded_in_words()
        if not self.draft.promises:
            for sentence in phrases.promises(self.draft.text):
                why = "Words alone have no due moment and nothing that proves them kept."
                yield Objection("promise_in_words", "R-20", sentence, why, "Add it as a promise, with a due moment.")

    def _refunded_in_words(self) -> Iterator[Objection]:
        """Sentences that say money is back while none is. A remedy that is granted is not booked yet."""
        slot = self.draft.slot
        booked = (s for s in self.case.statements if s.kind is StatementKind.REFUNDED)
        if any(slot is None or s.covers(slot) for s in booked):
            return
        for sentence in phrases.refunds(self.draft.text):
            why = "No refund of this order is booked."
            say = "Promise it with a due moment, or book it first and name it as {refund}."
            yield Objection("refund_not_shown", "", sentence, why, say)

    def _unshown(self, needed: Step) -> SlotCase | None:
        """The first unit of which this step is not shown."""
        return next((u for u in self.known.units if far(self.known.shown(u).evidenced) < far(needed)), None)

    def _denied(self, unit: SlotCase) -> str:
        """The open finding that says already that it did not leave."""
        mine = {f.rule.id for f in self.known.weighed.findings if f.slot in (None, unit.slot.number)}
        if unit.binding is None:
            mine.add("R-35")
        return next((rule for rule in _DENY if rule in mine), "")

    def _verdict(self, unit: SlotCase, ago: timedelta | None) -> tuple[Verdict, str]:
        """What would be said of the words "it has left", were they said now of this unit.

        A whole weighing, so each is asked once: sentence after sentence of a letter claims the same.
        """
        asked = unit.slot.number, ago
        if asked not in self._judged:
            part = Part("asks", StatementKind.DISPATCHED, unit.slot.number, Nothing(), ago)
            after = self._weigh([part])
            judged = [v for v in after.verdicts if v.statement == DRAFT + part.name and v.slot == unit.slot.number]
            why = next((v.why for v in judged), "")
            if unit.binding is None:
                why = "No serial is bound to it: no tag was packed that could have left."
            self._judged[asked] = worst(v.verdict for v in judged), why
        return self._judged[asked]

    def _no_estimate(self) -> bool:
        return bool(fill("{eta}", self.known)[1])

    # --- promises ------------------------------------------------------------------------------------------------

    def promised(self) -> Iterator[Objection]:
        permission = self._permission()
        if permission is not None and not permission[0]:
            yield Objection("remedy_not_yours", "", _said(self.draft.remedy or ""), permission[1], "")
        for each in self.draft.promises:
            yield from self._promise(each, permission is not None and permission[0])

    def _promise(self, each: Promises, granted: bool) -> Iterator[Objection]:
        about = _said(each.what)
        if each.due is None:
            rule = CATALOGUE["R-20"]
            yield Objection("promise_without_due", "R-20", about, rule.true, rule.do)
            return
        if each.due <= self.now:
            yield Objection("promise_past", "R-12", about, CODES["promise_past"].means, "Name a later moment.")
        repeat = repeats(self.case, self.known.weighed.promises, each.what, self.sender.by)
        if repeat is not None and not granted and not remedied(self.case, repeat):
            rule = CATALOGUE["R-18"]
            yield Objection("promise_repeated", "R-18", about, repeat.why, rule.say)

    def _permission(self) -> tuple[bool, str] | None:
        """Whether the sender may grant the remedy that the draft names; None: it names none."""
        remedy = self.draft.remedy
        if remedy is None:
            return None
        if remedy not in REMEDIES:
            return False, f"{_said(remedy)} is no remedy."
        money = money_of(self.case.facts, self.now, 0)
        if remedy in MONEY and money.mixed:
            return False, "It was paid in several currencies; refund it by hand and state it."
        # A fee that the payments do not tell apart is judged when a person names it.
        fee = min(money.fee_minor, money.left_minor)
        amount = {Action.FULL_REFUND: money.left_minor, Action.REFUND_SERVICE_FEE: fee}.get(remedy, 0)
        permission = may(self.sender.role, remedy, amount, self.case.policy.profile)
        return permission.allowed and permission.people <= 1, permission.why

    # --- numbers, the address, names -----------------------------------------------------------------------------

    def numbered(self) -> Iterator[Objection]:
        ours = {decode.decode(s.payload.number).plain for s in self.case.statements if isinstance(s.payload, Label)}
        order = decode.decode(self.case.facts.order.number).plain
        structured = [(number, number, True) for number in self.draft.numbers]
        in_text = [(number, sentence, False) for number, sentence in phrases.numbers(self.draft.text)]
        for number, about, given in structured + in_text:
            decoded = decode.decode(number)
            if decoded.plain == order and (given or re.search(r"tracking|carrier|courier", about, re.IGNORECASE)):
                yield self._useless(about, "It is our own order number.")
            elif decoded.plain in ours or decoded.plain == order:
                continue
            elif decoded.readings:
                yield Objection("number_doubtful", "R-13", about, f"{number} is on no label of this order.", "")
            elif given:
                yield self._useless(about, decode.words(decoded))
        doubt = next((f for f in self.known.weighed.findings if f.rule.id in _IN_DOUBT), None)
        named = "{carrier_number}" in self.draft.text or any(decode.decode(n).plain in ours for n, _, _ in structured)
        if doubt is not None and named:
            yield Objection("number_doubtful", doubt.rule.id, "{carrier_number}", doubt.why, doubt.rule.say)

    def _useless(self, about: str, why: str) -> Objection:
        right, missing = fill("{carrier_number}", self.known)
        say = CATALOGUE["R-13"].say if missing else f"Quote {right}."
        return Objection("not_a_carrier_number", "R-13", about, why, say)

    def asked(self) -> Iterator[Objection]:
        on_file = self.known.on_file
        for sentence in phrases.asks_address(self.draft.text) if on_file.address else ():
            given = words.day(business_days.local_date(self.case.zone, on_file.given_at))
            why = f"The address on file is {on_file.address}, given on {given}."
            yield Objection("address_known", "", sentence, why, "Ask whether {address} still holds, or do not ask.")

    def named(self, text: str) -> Iterator[Objection]:
        name = phrases.named((self.sender.by, self.sender.name), text)
        if name:
            yield Objection("names_staff", "", name, CODES["names_staff"].means, "Sign as the shop.")

    # --- what the rules would find -------------------------------------------------------------------------------

    def opened(self, told: set[str]) -> list[Objection]:
        """Findings that hold with the draft's words and did not, or not as gravely, without them."""
        before = {f.key: f for f in self.known.weighed.findings}
        after = self._weigh(parts(self.draft))
        return [
            self._objection(f)
            for f in after.findings
            if f.rule.id not in told | _NOT_OF_WORDS and self._by_draft(f, before.get(f.key))
        ]

    def _by_draft(self, found: Finding, was: Finding | None) -> bool:
        if was is None or found.severity is not was.severity:
            return True
        if found.rule.id == "R-21" and self.draft.offers:
            return True
        return any(each.ref.startswith(DRAFT) for each in found.evidence)

    def _objection(self, found: Finding) -> Objection:
        code = _CODE_OF.get(found.rule.id, "opens_finding")
        return Objection(code, found.rule.id, found.rule.title, found.why, found.rule.say or found.rule.do)

    def _weigh(self, made: Iterable[Part]) -> Weighing:
        facts = self.case.facts
        said = as_said(facts, made, self.sender.by, self.now)
        return weigh(replace(facts, statements=(*facts.statements, *said)), self.case.policy, self.now)
