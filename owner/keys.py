"""The owner's keys of one private tag: from the secret S_o to day keys, the claim's bundle, shares and co-owners.

Everything is derived by `wire/keys.py`; this page knows what belongs together, for how long, and what may be shown.
One tag has one secret. No value here shows it in a text, a log or a traceback's repr.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from owner.errors import PrivateError
from wire import household, keys
from wire.errors import WireError
from wire.household import Handover
from wire.share import MAX_DAYS, Share, SharedDay, decode_share, encode_share

DAY_S: Final = 86_400
# The tag's counter goes up every 15 minutes.
TICK_S: Final = 900
# A tag is given the identifiers of a year and a day.
BUNDLE_DAYS: Final = 366
# The next year is offered this long before the last one ends: later, and a long holiday leaves a tag without days.
RENEW_BEFORE_DAYS: Final = 30


def day_of(unix_s: int) -> int:
    """The UTC day of a moment, in days since 1970-01-01."""
    return unix_s // DAY_S


@dataclass(frozen=True, slots=True, repr=False)
class TagSecret:
    """All that an owner has of one tag. `tick_zero_s`: when the tag's tick was 0 (unix s); 0 if the owner's clock was
    written into the tag at the claim, so that its ticks are those of 1970 and the phrase alone brings everything back.
    """

    serial: int
    seed: bytes
    tick_zero_s: int = 0

    def __post_init__(self) -> None:
        assert len(self.seed) == 32, "a tag's secret has 32 bytes"

    def __repr__(self) -> str:
        return f"TagSecret(serial={self.serial}, secret)"

    @property
    def own_key(self) -> bytes:
        """K_own (16 bytes)."""
        return keys.own_key(self.seed)

    @property
    def signing_key(self) -> Ed25519PrivateKey:
        """What signs the claim's challenge, and towards the tag that a list is ours."""
        return Ed25519PrivateKey.from_private_bytes(keys.owner_signing_seed(self.seed))

    @property
    def public_key(self) -> bytes:
        """The signing key's public half (32 bytes): whose hash stands in the tag and in its receipt."""
        return self.signing_key.public_key().public_bytes_raw()

    def day(self, day: int) -> SharedDay:
        """What opens and fetches the reports of one day."""
        return SharedDay(day, keys.day_private_key(self.seed, day), keys.fetch_token(self.seed, day))


# --- The claim and the years after it ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BundleDay:
    """What the server learns of one day: enough for gateways to seal, not enough to open or to fetch."""

    day: int
    public_key: bytes
    fetch_hash: bytes


def claim_bundle(secret: TagSecret, first_day: int, days: int = BUNDLE_DAYS) -> tuple[BundleDay, ...]:
    """`{i, P_i, SHA-256(f_i)}` of a run of days, for upload."""
    return tuple(
        BundleDay(
            day,
            keys.day_public_key(secret.seed, day),
            fetch_hash(keys.fetch_token(secret.seed, day)),
        )
        for day in range(first_day, first_day + days)
    )


def fetch_hash(token: bytes) -> bytes:
    """SHA-256(f_i): what the server compares a fetch token with (128 random bits need no slow hash)."""
    return hashlib.sha256(token).digest()


def eids(bundle: Iterable[BundleDay]) -> tuple[bytes, ...]:
    """The list that is written into the tag, one EID a day."""
    return tuple(keys.eid(each.public_key) for each in bundle)


@dataclass(frozen=True, slots=True)
class Renewal:
    """The days to upload next. `late`: the tag has run out of days already. (Its new list begins today, whatever was
    left of the old one: a tag holds one list.)
    """

    first_day: int
    days: int
    late: bool


def renewal(first_day: int, days: int, today: int) -> Renewal | None:
    """What comes after a bundle of `days` days from `first_day` on; None while that has time.

    The secret stays, so the recovery phrase stays true. Days that have gone by unused are left out.
    """
    after = first_day + days
    if today < after - RENEW_BEFORE_DAYS:
        return None
    return Renewal(max(after, today), BUNDLE_DAYS, late=today >= after)


# --- A ring of days: what somebody can read ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Ring:
    """The days that a reader holds, by EID. Without `own_key` (a share) no frame's tail can be checked."""

    days: Mapping[bytes, SharedDay]
    own_key: bytes | None = None
    tick_zero_s: int = 0
    by_day: Mapping[int, bytes] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_day", {each.day: eid for eid, each in self.days.items()})

    def __repr__(self) -> str:
        return f"Ring({len(self.days)} days, secret)"


def owner_ring(secret: TagSecret, days: Iterable[int]) -> Ring:
    """The owner's own view of some days: a look-back of a week is eight of them."""
    return Ring(_by_eid(secret.day(day) for day in days), secret.own_key, secret.tick_zero_s)


def share_ring(share: Share, now_s: int) -> Ring:
    """The view of somebody with whom days were shared. Raises PrivateError `share_ended`."""
    if now_s >= share.ends_s:
        raise PrivateError("share_ended", "This share has ended.", "Ask the owner for a new one.")
    return Ring(_by_eid(share.days))


def _by_eid(days: Iterable[SharedDay]) -> dict[bytes, SharedDay]:
    return {keys.eid(keys.public_of_day_key(each.d)): each for each in days}


# --- Sharing days, and sharing for good -------------------------------------------------------------------


def share_days(secret: TagSecret, first_day: int, days: int, ends_s: int) -> str:
    """A run of days as the fragment of a URL. Raises PrivateError `share_days`, `share_end`."""
    if not 1 <= days <= MAX_DAYS:
        raise PrivateError("share_days", f"A share has 1 to {MAX_DAYS} days.", "Share fewer days, or twice.")
    if ends_s <= first_day * DAY_S:
        raise PrivateError("share_end", "The share would end before its first day begins.", "Choose a later end.")
    try:
        return encode_share(Share(ends_s, tuple(secret.day(first_day + n) for n in range(days))))
    except (WireError, OverflowError):
        raise PrivateError("share_days", "These days are out of range.", "Choose days of this century.") from None


def read_share(text: str) -> Share:
    """A share from a fragment or from the whole URL around it. Raises PrivateError `share_malformed`."""
    try:
        return decode_share(text.rpartition("#")[2])
    except WireError as wrong:
        raise PrivateError(wrong.code, "This is not a whole share.", "Was the link cut off? Copy all of it.") from None


def hand_over(secret: TagSecret, member_public_key: bytes) -> bytes:
    """The tag's secret, sealed to a member of the household (90 bytes). It cannot be taken back.

    The caller has had both people compare `phrase.fingerprint` of the member's key. Raises PrivateError `member_key`.
    """
    try:
        return household.seal_handover(Handover(secret.serial, secret.tick_zero_s, secret.seed), member_public_key)
    except WireError:
        raise PrivateError("member_key", "Nothing can be sealed to this key.", "Ask for the member's key.") from None


def take_over(sealed: bytes, member_private_key: bytes, serial: int) -> TagSecret:
    """Opens what a co-owner sealed to us, for the tag that it was announced for.

    Raises PrivateError `handover_shape`, `handover_sealed`, `handover_serial`.
    """
    try:
        opened = household.open_handover(sealed, member_private_key)
    except WireError as wrong:
        raise PrivateError(wrong.code, "This does not open with your key.", "Was it sealed to another key?") from None
    if opened.serial != serial:
        raise PrivateError("handover_serial", "This is the secret of another tag.", "Ask for the right one.")
    return TagSecret(opened.serial, opened.s_o, opened.tick_zero_s)
