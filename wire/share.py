"""Some days of a private tag for somebody else: `(i, d_i, f_i)` of a run of days, with an end, for a URL's fragment.

`01 ‖ ends u32 ‖ first day u32 ‖ n × (d 32 ‖ f 16) ‖ SHA-256(all before)[:4]`, base64url without padding. A fragment
reaches no server. K_own is not in it: whoever reads these days cannot play the tag.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wire.errors import WireError

VERSION: Final = 1
# A month is 2,002 characters. Longer, and mail programs and messengers begin to cut the link.
MAX_DAYS: Final = 31
_HEAD: Final = struct.Struct(">BII")
_DAY: Final = struct.Struct(">32s16s")
_CHECK_LEN: Final = 4
_MIN_LEN: Final = _HEAD.size + _DAY.size + _CHECK_LEN
_MAX_LEN: Final = _HEAD.size + MAX_DAYS * _DAY.size + _CHECK_LEN
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{%d,%d}" % (-(-_MIN_LEN * 4 // 3), -(-_MAX_LEN * 4 // 3)))  # noqa: UP031


@dataclass(frozen=True, slots=True, repr=False)
class SharedDay:
    """What opens the reports of one UTC day, and fetches them."""

    day: int
    d: bytes
    f: bytes

    def __repr__(self) -> str:
        return f"SharedDay(day={self.day}, secret)"


@dataclass(frozen=True, slots=True)
class Share:
    """A run of days, each one after the other, and the unix second from which nobody should read them any more."""

    ends_s: int
    days: tuple[SharedDay, ...]


def pack_share(share: Share) -> bytes:
    """The bytes of a share. Raises WireError `out_of_range`."""
    if not 1 <= len(share.days) <= MAX_DAYS:
        raise WireError("out_of_range", f"a share has 1 to {MAX_DAYS} days")
    first = share.days[0].day
    if [each.day for each in share.days] != list(range(first, first + len(share.days))):
        raise WireError("out_of_range", "the days of a share follow one another")
    if any(len(each.d) != 32 or len(each.f) != 16 for each in share.days):
        raise WireError("out_of_range", "a day has a key of 32 bytes and a token of 16")
    try:
        head = _HEAD.pack(VERSION, share.ends_s, first)
    except struct.error:
        raise WireError("out_of_range", "the end or the first day of a share does not fit its field") from None
    body = head + b"".join(_DAY.pack(each.d, each.f) for each in share.days)
    return body + _check(body)


def unpack_share(data: bytes) -> Share:
    """Reads the bytes of a share, whether or not it has ended. Raises WireError `share_malformed`."""
    body, check = data[:-_CHECK_LEN], data[-_CHECK_LEN:]
    whole, rest = divmod(len(body) - _HEAD.size, _DAY.size)
    if not 1 <= whole <= MAX_DAYS or rest or check != _check(body) or body[0] != VERSION:
        raise _malformed()
    _, ends_s, first = _HEAD.unpack_from(body)
    if first + whole > 2**32:
        raise _malformed()
    return Share(ends_s, tuple(_days(first, body[_HEAD.size :])))


def encode_share(share: Share) -> str:
    """The share as it stands behind the # of a URL. Raises WireError `out_of_range`."""
    return base64.urlsafe_b64encode(pack_share(share)).rstrip(b"=").decode()


def decode_share(text: str) -> Share:
    """Reads what stood behind the # of a URL. Raises WireError `share_malformed`: cut off, mistyped, not a share."""
    text = text.strip()
    if not _TEXT.fullmatch(text):
        raise _malformed()
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise _malformed() from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise _malformed()  # two texts for one share: the last symbol has bits that nobody reads
    return unpack_share(data)


def _days(first: int, rows: bytes) -> Sequence[SharedDay]:
    return [SharedDay(first + n, d, f) for n, (d, f) in enumerate(_DAY.iter_unpack(rows))]


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_CHECK_LEN]


def _malformed() -> WireError:
    return WireError("share_malformed", "this is not a whole share of days; was the link cut off?")
