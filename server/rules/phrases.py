"""Words in free text that say more than they seem to: it has left, you are refunded, give me your address again.

Small tables, read clause by clause. They catch what people really write and are no judge of prose: what they find is
compared with the evidence, and where that settles nothing, a person may say why the words are right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final

# Of each sort so many are told at once; whoever mends those is told the next.
FOUND_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence by which somebody says where a parcel is: `step` is one of `payloads.GONE_SAID`.

    `ago`: at least so long ago, as far as the sentence tells.
    """

    sentence: str
    step: str
    ago: timedelta | None


# Who carries parcels, by trade or by name, and what they carry; a number or a label of it is not the thing itself.
_CARRIER: Final = (
    r"(?:(?:the|our|your) (?:carrier|courier|driver|postman|postal service|post)"
    r"|USPS|UPS|FedEx|DHL|Royal Mail|Deutsche Post)"
)
_PARCEL: Final = (
    r"(?:it|them|(?:the|your|this|both|all(?: the)?) (?:parcel|package|order|tag|unit|item|box|shipment)e?s?)\b"
    r"(?! (?:number|details|data|label|listed|as|down|on (?:its|their)))"
)
_IS: Final = r"(?:is|are|was|were|been|now|already|it['’]s)"

# The farthest step first: "delivered" says more than "left".
CLAIMS: Final[Mapping[str, str]] = {
    r"delivered|(?:has|have) arrived|arrived (?:on|at|yesterday|today|last)": "arrived",
    rf"out for delivery|in transit|{_IS} with (?:the carrier|the courier|the post|{_CARRIER}\b)"
    rf"|(?:handed|given|gave|passed|brought|took|taken|dropped) (?:{_PARCEL} )?(?:over |off |on )?(?:to|at) {_CARRIER}"
    rf"|(?:picked up|collected|accepted|scanned) by (?:the|our|{_CARRIER}\b)|(?:was|were|been) (?:picked up|collected)"
    r"(?! (?:here|inside|by|at our))"
    rf"|{_CARRIER} (?:(?:has|have|had|already|now|just) )*(?:picked (?:(?!no)\w+ ){{0,3}}?up|collected(?! no)"
    rf"|(?:took|accepted|scanned|received) {_PARCEL})|{_CARRIER} (?:now |already )?(?:has|have) (?:got )?"
    rf"{_PARCEL}": "with_carrier",
    r"dis?patched|despatched|shipped|mailed|sent (?:out|off)|(?:was|were|been|have|has|already|we) sent"
    r"|(?:went|gone) out|left (?:us|our|the)\b|(?:has|have|had|it|they|already) left"
    r"|on (?:its|their|the|your) way|en route(?! to (?:us|our|collect|pick))"
    rf"|(?:was|were|been) posted(?! (?:here|online|(?:on|in) (?:our|the)))|posted {_PARCEL}"
    rf"|{_IS} in the (?:post|mail)\b(?! office)"
    rf"|(?:{_IS} |went |gone |^)out (?:of )?(?:the|our) door": "left",
}
_CLAIMS: Final = {re.compile(rf"\b(?:{phrase})", re.IGNORECASE): step for phrase, step in CLAIMS.items()}

# Before the words, in the same clause: what is denied, asked, wished or still to come is no claim that it was done.
_DOUBT: Final = re.compile(
    r"\b(?:not|never|nothing|no|nobody|none|cannot|whether|if|unless|until|till|once|when|as soon as|by the time|before"
    r"|after|will|shall|would|should|could|can|may|might|must|going to|to be|is being|be)\b|n['’]t\b|['’]ll\b",
    re.IGNORECASE,
)
# In the same clause: something else than a parcel was sent; but what "is in the mail" is a parcel.
_OTHER: Final = re.compile(
    r"\b(?:money|refund|payment|invoice|e-?mail|(?<!s in the )mail|message|letter|answer|reply|question|request|form"
    r"|link|complaint|enquiry|inquiry|details)\b",
    re.IGNORECASE,
)
# It asks: "Has USPS picked it up?" says nothing; "It was sent, did you get it?" does.
_ASKED: Final = re.compile(
    r"^\W*(?:has|have|had|is|are|was|were|did|does|do)\b(?! you (?:know|see|read)\b)[^,;:]*\?$", re.IGNORECASE
)
# Anywhere in the sentence: it says itself that nothing shows what our record says.
_DENIES: Final = re.compile(
    r"nothing (?:physical )?shows|cannot see anything|no evidence|told was wrong|was not true", re.IGNORECASE
)

REFUNDS: Final = (
    r"(?:we|you|is|are|was|were|been|has|have|now|already|fully|just|['’](?:re|ve)) refunded|^refunded"
    r"|refund (?:(?:is|was|has|have|been|now|already|just) )+(?:paid|booked|issued|made|processed|sent|done)\b"
    r"|(?:paid|booked|issued|made|processed|sent|transferred|gave|given) (?:you )?(?:your|the|a) (?:full )?refund"
    r"|(?:paid|sent|gave|given|transferred) (?:you )?(?:your|the|all the) money back|paid you back"
    r"|money is (?:now |already )?back"
)
_REFUNDS: Final = re.compile(rf"\b(?:{REFUNDS})", re.IGNORECASE)
# Anywhere in the sentence: "you are refunded if it is not here", "by Friday" tell what would be.
_CONDITION: Final = re.compile(
    r"\b(?:if|once|when|unless|until|within|as soon as)\b|\{promise_due\}"
    r"|\b(?:is|are) (?:paid|booked|refunded) (?:by|tomorrow)\b",
    re.IGNORECASE,
)

_DAYS: Final[Mapping[str, int]] = {"day": 1, "week": 7, "month": 28}
_AGO: Final = re.compile(r"\b(?:(\d{1,3}|a|one) )?(day|week|month)(s?) (?:ago|back)\b", re.IGNORECASE)

PROMISES: Final = (
    r"(?:will|['’]ll|going to) (?:be )?(?:re-?)?(?:ship|dispatch|send|sent|arrive|deliver|call|reply|refund|get back"
    r"|come back|check|look into|replace)\w*|as soon as (?:possible|we can)|\basap\b|\bshortly\b|\bprompt(?:ly)?\b"
    r"|in due course"
)
_PROMISES: Final = re.compile(PROMISES, re.IGNORECASE)

_ADDRESS: Final = re.compile(r"(?<!mail )(?<!email )\baddress\b(?! on file)", re.IGNORECASE)
_ASKS: Final = re.compile(
    r"\bagain\b|\b(?:re-?)?send\b|\bconfirm\b|\bprovide\b|\bgive\b|\btell\b|\bneed\b|\bwhat\b|\bwhich\b|\bplease\b|\?",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"(?<![\w{])(?=[A-Z\d-]{0,40}\d{4})[A-Z\d][A-Z\d-]{6,38}[A-Z\d](?![\w}])")

_SENTENCES: Final = re.compile(r"(?<=[.!?])\s+|\n+")
_CLAUSES: Final = re.compile(r"[,;:()–—]|\bbut\b|\band\b", re.IGNORECASE)


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text, without blanks around them."""
    return tuple(each.strip() for each in _SENTENCES.split(text) if each.strip())


def claims(text: str) -> tuple[Claim, ...]:
    """Every sentence that says that a parcel is no longer with us, with the farthest step that it claims."""
    found = (claim for sentence in sentences(text) if (claim := _claim(sentence)) is not None)
    return tuple(islice(found, FOUND_MAX))


def _claim(sentence: str) -> Claim | None:
    if _DENIES.search(sentence) or _ASKED.search(sentence):
        return None
    for pattern, step in _CLAIMS.items():
        for clause in map(str.strip, _CLAUSES.split(sentence)):
            if _OTHER.search(clause):
                continue
            if any(not _DOUBT.search(clause[: m.start()]) for m in pattern.finditer(clause)):
                return Claim(sentence, step, _ago(sentence))
    return None


def refunds(text: str) -> tuple[str, ...]:
    """Every sentence that says that money is back already; what will be or would be is none."""
    return tuple(islice((each for each in sentences(text) if _refunded(each)), FOUND_MAX))


def _refunded(sentence: str) -> bool:
    if any(no.search(sentence) for no in (_DENIES, _ASKED, _CONDITION)):
        return False
    clauses = map(str.strip, _CLAUSES.split(sentence))
    return any(not _DOUBT.search(clause[: m.start()]) for clause in clauses for m in _REFUNDS.finditer(clause))


def _ago(sentence: str) -> timedelta | None:
    found = _AGO.search(sentence)
    if found is None:
        return None
    count, unit, _ = found.groups()
    # "Weeks ago" without a number is at least one of them.
    times = int(count) if count and count.isdecimal() else 1
    return timedelta(days=_DAYS[unit.lower()] * times)


def promises(text: str) -> tuple[str, ...]:
    """Sentences that promise something in words alone, which nobody could hold us to."""
    return tuple(islice((each for each in sentences(text) if _PROMISES.search(each)), FOUND_MAX))


def asks_address(text: str) -> tuple[str, ...]:
    """Sentences that ask a customer for an address; one that names the address on file only asks whether it holds."""
    asking = (s for s in sentences(text) if _ADDRESS.search(s) and _ASKS.search(s) and "{address}" not in s)
    return tuple(islice(asking, FOUND_MAX))


def numbers(text: str) -> tuple[tuple[str, str], ...]:
    """(number, its sentence) of everything that looks like a parcel's number."""
    found = ((number[0], sentence) for sentence in sentences(text) for number in _NUMBER.finditer(sentence))
    return tuple(islice(found, FOUND_MAX))


def named(people: Iterable[str], text: str) -> str:
    """The first of these names, whole or the last word of it, that stands in a text; "" if none does."""
    names = (part for name in people for part in (name.strip(), name.strip().split(" ")[-1]))
    return next(
        (n for n in dict.fromkeys(names) if len(n) > 2 and re.search(rf"(?<!\w){re.escape(n)}(?!\w)", text)), ""
    )
