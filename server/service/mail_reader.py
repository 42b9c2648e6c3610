"""A letter as it came in, read with suspicion: who wrote, what about, the plain text, and whether a machine sent it.

Anybody can send anything. So only the beginning is parsed, boundaries are counted before anything descends into them,
characters are decoded by a list of known charsets only, and whatever the parser stumbles over leaves the rest readable.
"""

from __future__ import annotations

import codecs
import email.message
import email.parser
import email.policy
import hashlib
import html
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

# What an MTA may hand over. More is refused by name, so that the sender learns of it.
MAIL_MAX: Final = 25 * 1024 * 1024
# Texts stand at the beginning; behind it are attachments, which are counted and not kept.
READ_MAX: Final = 256 * 1024
# The parser asks every open boundary about every line: a letter of a thousand nested parts would take minutes.
BOUNDARIES_MAX: Final = 20
PARTS_MAX: Final = 100
# A header that is longer was not written by a mail program for a person.
HEADER_MAX: Final = 2000
HEADERS_MAX: Final = 200
PART_MAX: Final = 64 * 1024
TEXT_MAX: Final = 4000
SUBJECT_MAX: Final = 300
# Words that may be order numbers; a long letter has a dozen.
NUMBERS_MAX: Final = 200

_ADDRESS: Final = re.compile(r"[^\s<>\"',;:()]{1,64}@[A-Za-z0-9.\-\[\]]{1,189}")
_OURS: Final = re.compile(r"notice-(\d{1,18})@hearsight")
_PLUS: Final = re.compile(r"\+([A-Za-z0-9][A-Za-z0-9._-]{0,63})@")
_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9._-])#?([A-Za-z0-9][A-Za-z0-9._-]{0,63})")
_STATUS: Final = re.compile(r"\b([45])\.(\d{1,3})\.(\d{1,3})\b")
_CONTROL: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Encodings of text. Python knows others (idna, punycode) whose decoding takes the square of the length.
_CHARSET: Final = re.compile(
    r"(utf-?(8|16|32)|ascii|iso8859|latin|cp\d+|windows|koi8|mac|gb|big5|hz|euc|shift_?jis|iso2022|johab|tis|viscii|kz)"
)
_MACHINES: Final = ("mailer-daemon", "postmaster", "noreply", "no-reply", "donotreply", "do-not-reply", "bounce")


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter. `numbers`: words that may be order numbers, those of its addresses and its subject first.

    `notices`: numbers of our own letters that it answers or returns. `bounce`: why one of ours came back ("" = it is
    none). `automatic`: a machine sent it. `whole` False: a part could not be read.
    """

    hash: bytes
    sender: str
    subject: str
    text: str
    plus: tuple[str, ...]
    numbers: tuple[str, ...]
    notices: tuple[int, ...]
    automatic: bool
    bounce: str
    attachments: int
    whole: bool


def read(raw: bytes) -> Letter:
    """Read a letter; whatever it holds, this gives one and raises nothing."""
    start = raw[:READ_MAX]
    whole = len(start) == len(raw) and start.lower().count(b"boundary") <= BOUNDARIES_MAX
    message = _parse(start)
    heads = _heads(message)
    texts, attachments, all_read = _texts(message)
    text = tidy("\n".join(texts))
    sender = _first_address(heads, "from") or _first_address(heads, "sender") or _first_address(heads, "return-path")
    subject = " ".join(tidy(heads.get("subject", ""))[:SUBJECT_MAX].split())
    ours = _ours(message, heads, start)
    bounce = _bounce(message, heads, sender, start) if ours or _is_report(message) else ""
    return Letter(
        hash=_hash(heads, sender, raw),
        sender=sender,
        subject=subject,
        text=unquoted(text)[:TEXT_MAX],
        plus=_plus(heads),
        numbers=_numbers(f"{subject}\n{text}"),
        notices=ours,
        automatic=_automatic(heads, sender),
        bounce=bounce,
        attachments=min(attachments, PARTS_MAX),
        whole=whole and all_read,
    )


# --- Taking it apart -------------------------------------------------------------------------------------------


def _parse(start: bytes) -> email.message.Message:
    policy = email.policy.default
    if start.lower().count(b"boundary") <= BOUNDARIES_MAX:
        with suppress(Exception):  # the parser has its own bugs, and a letter is no reason to learn of them
            return email.parser.BytesParser(policy=policy).parsebytes(start)
    with suppress(Exception):
        return email.parser.BytesHeaderParser(policy=policy).parsebytes(start)
    return email.message.EmailMessage()


def _heads(message: email.message.Message) -> dict[str, str]:
    """Each header once, decoded; several of one name joined. A header that cannot be read is read raw."""
    found: dict[str, str] = {}
    for name, value in list(message.raw_items())[:HEADERS_MAX]:
        lower = str(name).lower()[:100]
        plain = str(value)[:HEADER_MAX]
        with suppress(Exception):
            plain = str(email.policy.default.header_fetch_parse(str(name), plain))
        found[lower] = f"{found[lower]}\n{plain}"[: 4 * HEADER_MAX] if lower in found else plain
    return found


def _texts(message: email.message.Message) -> tuple[list[str], int, bool]:
    """The texts of a letter, how many parts are no text, and whether all of it could be read."""
    plain: list[str] = []
    rich: list[str] = []
    others, all_read = 0, True
    try:
        for part in _leaves(message):
            kind = part.get_content_type()
            attached = "attachment" in str(part.get("content-disposition", ""))[:HEADER_MAX].lower()
            if attached or kind not in ("text/plain", "text/html"):
                others += not kind.startswith(("message/delivery-status", "text/rfc822"))
            elif kind == "text/plain":
                plain.append(_decoded(part))
            else:
                rich.append(text_of_html(_decoded(part)))
    except Exception:
        all_read = False
    return [each for each in plain if each.strip()] or rich, others, all_read


def _leaves(message: email.message.Message) -> Iterator[email.message.Message]:
    for count, part in enumerate(message.walk()):
        if count >= PARTS_MAX:
            return
        if not part.is_multipart():
            yield part


def _decoded(part: email.message.Message) -> str:
    payload = part.get_payload(decode=True)
    content = payload[:PART_MAX] if isinstance(payload, bytes) else b""
    name = ""
    with suppress(Exception):
        name = codecs.lookup(str(part.get_content_charset() or "utf-8")[:40]).name
    if name == "utf-7" or not _CHARSET.match(name.replace("_", "")):
        name = "utf-8"
    return content.decode(name, "replace")


# The library's parser looks for the end of what has none to the end of the page, again and again; this one stops at
# the next tag.
_TAG: Final = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,20})[^<>]*>")
_SILENT: Final = frozenset({"script", "style", "head", "title", "template"})
_BREAKS: Final = frozenset({"p", "div", "br", "tr", "li", "h1", "h2", "h3", "blockquote", "table"})


def text_of_html(page: str) -> str:
    """What a person would read of a page, roughly: no scripts, styles or comments."""
    shown = "".join(part.partition("-->")[2] if n else part for n, part in enumerate(page.split("<!--")))
    words: list[str] = []
    silent, end = 0, 0
    for tag in _TAG.finditer(shown):
        words.append("" if silent else shown[end : tag.start()])
        name, end = tag[2].lower(), tag.end()
        silent = max(0, silent + (-1 if tag[1] else 1)) if name in _SILENT else silent
        words.append("\n" if name in _BREAKS else "")
    words.append("" if silent else shown[end:])
    return re.sub(r"[ \t]+", " ", html.unescape("".join(words)))


def tidy(text: str) -> str:
    """Text that a database keeps and a page shows: no control characters, nothing that turns a line round."""
    lines = (_CONTROL.sub("", line).strip() for line in text.replace("\r", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def unquoted(text: str) -> str:
    """Without the lines quoted from our own letter; all of it if nothing else would be left."""
    left = "\n".join(line for line in text.split("\n") if not line.startswith(">")).strip()
    return left or text


# --- What it is about ------------------------------------------------------------------------------------------


def _first_address(heads: dict[str, str], name: str) -> str:
    match = _ADDRESS.search(tidy(heads.get(name, "")))
    return match[0].lower() if match else ""


def _plus(heads: dict[str, str]) -> tuple[str, ...]:
    """`orders+T-1001@shop.example` names the order T-1001."""
    to = "\n".join(heads.get(name, "") for name in ("delivered-to", "x-original-to", "to", "cc"))
    return tuple(dict.fromkeys(_PLUS.findall(to)))[:NUMBERS_MAX]


def _numbers(text: str) -> tuple[str, ...]:
    words = (word.rstrip("._-") for word in _NUMBER.findall(text))
    return tuple(dict.fromkeys(word for word in words if any(letter.isdigit() for letter in word)))[:NUMBERS_MAX]


def _ours(message: email.message.Message, heads: dict[str, str], start: bytes) -> tuple[int, ...]:
    """Our letters that this one answers, or, if one came back, that stand in it.

    A person's letter may quote any number: what it quotes decides nothing.
    """
    named = " ".join(heads.get(name, "") for name in ("in-reply-to", "references"))
    if _no_way_back(heads) or (_is_report(message) and b"delivery-status" in start.lower()):
        named += start[:READ_MAX].decode("latin-1")
    return tuple(dict.fromkeys(int(number) for number in _OURS.findall(named)))[:20]


def _automatic(heads: dict[str, str], sender: str) -> bool:
    """A machine's letter starts no clock and gets no answer, so two machines never write to one another."""
    submitted = heads.get("auto-submitted", "no").split(";")[0].strip().lower()
    precedence = heads.get("precedence", "").strip().lower()
    lists = any(name.startswith("list-") for name in heads)
    replied = any(name in heads for name in ("x-autoreply", "x-autorespond", "x-auto-reply", "x-autoresponder"))
    machine = sender.partition("@")[0].startswith(_MACHINES)
    return (
        submitted != "no"
        or precedence in ("bulk", "junk", "list", "auto_reply")
        or lists
        or replied
        or _no_way_back(heads)
        or machine
    )


def _no_way_back(heads: dict[str, str]) -> bool:
    """A machine's letter that nobody may answer, such as one of ours that came back."""
    return heads.get("return-path", "").strip() == "<>"


def _is_report(message: email.message.Message) -> bool:
    with suppress(Exception):
        return message.get_content_type() == "multipart/report"
    return False


def _bounce(message: email.message.Message, heads: dict[str, str], sender: str, start: bytes) -> str:
    """Why a letter of ours came back: mailbox_full or undeliverable; "" if this is no such news."""
    daemon = sender.startswith(("mailer-daemon@", "postmaster@"))
    if not _is_report(message) and not (_no_way_back(heads) and daemon):
        return ""
    if b"delivery-status" not in start.lower() and not daemon:
        return ""
    statuses = {match[0] for match in _STATUS.finditer(start.decode("latin-1"))}
    if statuses and all(status.startswith("4") for status in statuses):
        return ""  # it is still being tried
    full = any(status.endswith(".2.2") for status in statuses) or b"mailbox full" in start.lower()
    return "mailbox_full" if full else "undeliverable"


def _hash(heads: dict[str, str], sender: str, raw: bytes) -> bytes:
    """The same letter by two ways has other headers, so its own name and its sender tell it; without one, its bytes."""
    name = heads.get("message-id", "").strip()
    told = f"{name}\n{sender}".encode("utf-8", "replace") if name else raw
    return hashlib.sha256(b"hearsight mail in v1\n" + told).digest()
