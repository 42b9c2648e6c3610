"""Letters as they come, nasty ones too: what is read of each, how long it takes, and that nothing breaks."""

from __future__ import annotations

import time
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.service.mail_reader import NUMBERS_MAX, SUBJECT_MAX, TEXT_MAX, Letter, read


def letter(text: str = "Where is it?", subject: str = "My order", **heads: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ann <ann@example.com>", "help@shop.example", subject
    for name, value in heads.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


def raw(head: str, body: bytes = b"Hello") -> bytes:
    return head.encode("latin-1") + b"\r\n\r\n" + body


BOUNCE = b"""From: MAILER-DAEMON@mx.example\r
Return-Path: <>\r
Content-Type: multipart/report; report-type=delivery-status; boundary=b\r
\r
--b\r
Content-Type: text/plain\r
\r
Sorry.\r
--b\r
Content-Type: message/delivery-status\r
\r
Final-Recipient: rfc822; ann@example.com\r
Action: failed\r
Status: 5.2.2\r
--b\r
Content-Type: text/rfc822-headers\r
\r
Message-ID: <notice-17@hearsight>\r
--b--\r
"""


def test_a_plain_letter() -> None:
    told = read(bytes(letter("Hello,\nwhere is T-1001?\n> your tag has shipped", "Order T-1001")))
    assert (told.sender, told.subject) == ("ann@example.com", "Order T-1001")
    assert told.text == "Hello,\nwhere is T-1001?"
    assert "T-1001" in told.numbers
    assert (told.automatic, told.bounce, told.attachments, told.whole) == (False, "", 0, True)


def test_html_alone_becomes_text_and_hides_nothing_that_runs() -> None:
    message = letter()
    message.set_content(
        "<head><style>p{}</style></head><p>Where&nbsp;is <b>it</b>?</p><script>alert(1)</script>", "html"
    )
    assert read(bytes(message)).text == "Where\xa0is it?"


def test_attachments_are_counted_and_not_kept() -> None:
    message = letter("See the photo")
    message.add_attachment(b"\x89PNG" + b"secret" * 100, maintype="image", subtype="png", filename="a.png")
    message.add_attachment(b"call me", maintype="text", subtype="plain", filename="b.txt")
    told = read(bytes(message))
    assert (told.text, told.attachments) == ("See the photo", 2)


def test_plus_address_and_answered_letter() -> None:
    told = read(bytes(letter(Cc="orders+T-1001@shop.example", In_Reply_To="<notice-17@hearsight>")))
    assert (told.plus, told.notices) == (("T-1001",), (17,))


@pytest.mark.parametrize(
    "head",
    [
        {"Auto_Submitted": "auto-replied"}, {"Precedence": "bulk"}, {"List_Id": "<x.example>"}, {"Return_Path": "<>"},
        {"X_Autoreply": "yes"},
    ],
    ids=str,
)  # fmt: skip
def test_machines_are_known(head: dict[str, str]) -> None:
    assert read(bytes(letter(**head))).automatic
    assert not read(bytes(letter(Auto_Submitted="no"))).automatic


def test_a_letter_of_ours_that_came_back() -> None:
    told = read(BOUNCE)
    assert (told.bounce, told.notices, told.automatic) == ("mailbox_full", (17,), True)
    assert read(BOUNCE.replace(b"5.2.2", b"5.1.1")).bounce == "undeliverable"
    assert read(BOUNCE.replace(b"5.2.2", b"4.4.1")).bounce == "", "it is still being tried"


def test_a_number_that_a_person_quotes_decides_nothing() -> None:
    quoted = "You wrote notice-17@hearsight, and my mail program spoke of a delivery-status."
    for path in ("<ann@example.com>", "ann@example.com"):
        assert read(bytes(letter(quoted, Return_Path=path))).notices == ()
    assert read(bytes(letter(quoted))).notices == ()
    assert read(bytes(letter(quoted, Return_Path="<>"))).notices == (17,), "a machine gave ours back"
    report = BOUNCE.replace(b"Return-Path: <>\r\n", b"").replace(b"delivery-status", b"Delivery-Status")
    assert read(report.replace(b"multipart/report", b"Multipart/Report")).notices == (17,)


def test_the_same_letter_by_two_ways_is_one() -> None:
    one, other = letter(Message_ID="<a@example.com>"), letter(Message_ID="<a@example.com>", Received="by another")
    assert read(bytes(one)).hash == read(bytes(other)).hash
    other.replace_header("From", "eve@example.com")
    assert read(bytes(one)).hash != read(bytes(other)).hash
    assert read(bytes(letter("a"))).hash != read(bytes(letter("b"))).hash


@pytest.mark.parametrize("charset", ["klingon", "zlib", "idna", "punycode", "rot13", "utf-7", "utf8", "x" * 500])
def test_only_charsets_of_texts_are_decoded(charset: str) -> None:
    told = read(raw(f"Content-Type: text/plain; charset={charset}", b"Where is +AGE-it-?"))
    assert (told.text, told.whole) == ("Where is +AGE-it-?", True)


NASTY = {
    "nothing": b"",
    "zeros": bytes(5000),
    "no head": b"\r\n\r\nWhere is T-1001?",
    "unknown charset": raw("Content-Type: text/plain; charset=klingon", "Grüße".encode()),
    "charset that is no text": raw("Content-Type: text/plain; charset=zlib", b"x\x9c"),
    "charset of quadratic time": raw("Content-Type: text/plain; charset=punycode", b"a-" + b"9" * 200_000),
    "charset of names": raw("Content-Type: text/plain; charset=idna", b"xn--" + b"9" * 200_000),
    "broken base64": raw("Content-Transfer-Encoding: base64", b"!!!" * 1000),
    "broken words": raw("Subject: =?utf-8?b?////?= =?x?q?=zz?=\r\nFrom: =?utf-8?q?=ff?= <@@>"),
    "addresses without end": raw("From: " + "<" * 50_000 + "a@b" + ">" * 50_000),
    "groups without end": raw("To: " + "a:" * 50_000),
    "comments without end": raw("From: " + "(" * 50_000),
    "a header as long as a book": raw("Subject: " + "T-1 " * 100_000),
    "ten thousand headers": raw("\r\n".join(f"X-{n}: y" for n in range(10_000))),
    "parts in parts": raw('Content-Type: multipart/mixed; boundary="b"', b"")
    + b"".join(b'--b\r\nContent-Type: multipart/mixed; boundary="b%d"\r\n\r\n' % n for n in range(3000)),
    "open boundaries and many lines": raw('Content-Type: multipart/mixed; boundary="b0"', b"")
    + b"".join(b'--b%d\r\nContent-Type: multipart/mixed; boundary="b%d"\r\n\r\n' % (n, n + 1) for n in range(700))
    + b"--b700\r\nContent-Type: text/plain\r\n\r\n"
    + b"x\n" * 100_000,
    "letters in letters": raw("Content-Type: message/rfc822", b"Content-Type: message/rfc822\r\n\r\n" * 8000),
    "tags without end": raw("Content-Type: text/html", b"<" * 200_000),
    "comments in html": raw("Content-Type: text/html", b"<!--" * 60_000),
    "declarations in html": raw("Content-Type: text/html", b"<![CDATA[" * 7000),
    "instructions in html": raw("Content-Type: text/html", b"<?x " * 16_000),
    "attributes without end": raw("Content-Type: text/html", b'<a b="' * 10_000),
    "attributes and attributes": raw("Content-Type: text/html", b"<a" + b" b=c" * 16_000),
    "ends without end": raw("Content-Type: text/html", b"</a " * 16_000),
    "scripts without end": raw("Content-Type: text/html", b"<script>" * 8000),
    "entities": raw("Content-Type: text/html", b"&#x110000;&" * 20_000),
    "lines without end": raw("From: a@b.example", b"\n" * 250_000),
    "twenty boundaries and many lines": raw('Content-Type: multipart/mixed; boundary="b"', b"")
    + b"".join(b'--b\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n' for n in range(18))
    + b"\n" * 240_000,
}


@pytest.mark.parametrize("name", NASTY)
def test_nasty_letters_are_read_soon(name: str) -> None:
    begun = time.process_time()
    bounded(read(NASTY[name]))
    assert time.process_time() - begun < 2, "somebody could stop the mail-in with it"


def bounded(told: Letter) -> None:
    assert len(told.text) <= TEXT_MAX
    assert len(told.subject) <= SUBJECT_MAX
    assert len(told.numbers) <= NUMBERS_MAX
    assert len(told.hash) == 32
    for text in (told.text, told.subject, told.sender, *told.numbers, *told.plus):
        assert "\x00" not in text
        text.encode()  # no half characters


HEADS = st.sampled_from(
    [
        b"From: ", b"To: ", b"Subject: ", b"Content-Type: ", b"multipart/mixed; boundary=", b"text/html; charset=",
        b"Content-Transfer-Encoding: base64", b"References: <notice-", b"\r\n", b"\r\n\r\n", b"--b", b"--b--",
        b"=?", b"?=",
        b"<", b">", b"@", b";", b'"', b"T-1001", b"Auto-Submitted: auto-replied", b"Status: 5.2.2", b"delivery-status",
    ]
)  # fmt: skip


@given(st.lists(HEADS | st.binary(max_size=12), max_size=60).map(b"".join))
def test_whatever_comes_is_read(noise: bytes) -> None:
    told = read(noise)
    bounded(told)
    assert told == read(noise)
