"""Everything that the owner says to a tag: each message under its own nonce, with a MAC that no carrier can make.

    hear ─▶ which frame is ours ─▶ connect (nonce) ─▶ write (message) ─▶ answer      again after a broken link

Nothing here is believed because a gateway or a server says so: a tag that is not ours refuses the MAC, what it is told
is sealed or carries a proof of K_own, and what it signs is checked by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from owner import recognise
from owner.api import RefusedError
from owner.errors import PrivateError
from owner.keys import TagSecret
from owner.radio import Radio
from wire import gatt, set_owner
from wire.errors import WireError
from wire.frames import FrameType
from wire.gatt import ClearProof, Op

# A tag at rest sends a frame every 30 s, so after a minute and a half one that is near was heard.
HEAR_TRIES: Final = 9
HEAR_EVERY_S: Final = 10.0
# A person needs some seconds to find the button, and gives up after a minute.
PRESS_TRIES: Final = 15
PRESS_EVERY_S: Final = 4.0
# A year of identifiers is nine messages; a link that breaks more often than this is too far away.
LINKS_MAX: Final = 8
# Unknown tags that are asked whether they know our code, when no frame is one we know.
PROBES_MAX: Final = 4
# What a broken link is called; everything else is said by the tag or by the server, and asking again changes nothing.
BROKEN: Final = frozenset({"not_reachable", "tag_not_heard", "relay_unknown"})

T = TypeVar("T")
Find = Callable[[Sequence[bytes]], int | None]
"""Which of the frames is the one meant: its position, or None."""
Request = tuple[Op, bytes]
"""What a message asks for, and its data."""


@dataclass(frozen=True, slots=True)
class Edges:
    """What comes from the door: the clock (unix s), the dice, waiting, and a line for the person who does this."""

    now_s: Callable[[], float]
    dice: Callable[[int], bytes]
    wait: Callable[[float], None]
    say: Callable[[str], None]


class TagTalk:
    """A conversation with one tag. `k_claim` (16 bytes) is the code from its box; `find` knows its frame.

    Every method raises RefusedError (the radio's, the tag's) and PrivateError `tag_answer`.
    """

    def __init__(self, radio: Radio, k_claim: bytes, find: Find, edges: Edges) -> None:
        self._radio, self._k_claim, self._find, self._edges = radio, k_claim, find, edges
        self._frame = b""

    def close(self) -> None:
        """Lets go of the tag."""
        self._frame = b""
        self._radio.close()

    def clear(self, secret: TagSecret) -> None:
        """Makes it forget us. Needs the button; the tag says P frames from then on."""
        head = bytes((ClearProof.OWNER,))
        self._linked(
            lambda: self._pressed(lambda nonce: (Op.CLEAR, head + gatt.owner_clear_proof(secret.own_key, nonce)))
        )

    def activate(self, ready: Callable[[bytes, bool], Request]) -> bytes:
        """The tag's signed answer (91 bytes), still to be checked. Needs the button.

        `ready(nonce, cleared)` is what to write: op 10, or op 03 first, if the tag still holds somebody else.
        """
        for cleared in (False, True):
            op, answer = self._linked(partial(self._pressed, partial(_told, ready, cleared)))
            if op is Op.ACTIVATE:
                return answer
            self._edges.say("The tag has forgotten its former owner. Now it signs for you.")
        raise PrivateError("write_not_ours", "The server wants the tag cleared twice.", "Tell the operator.")

    def near(self, secret: TagSecret) -> None:
        """Tells it that we are here, and the time. No button."""
        now_s = self._edges.now_s
        self._linked(lambda: self._ask(lambda nonce: (Op.NEAR, gatt.near_data(secret.own_key, nonce, int(now_s())))))

    def ring(self, secret: TagSecret, seconds: int) -> None:
        """Lets it ring for so many seconds, 0 to be silent. No button."""
        self._linked(lambda: self._ask(lambda nonce: (Op.RING, gatt.ring_data(secret.own_key, nonce, seconds))))

    def set_owner(self, secret: TagSecret, first_day: int, eids: Sequence[bytes]) -> None:
        """Gives it K_own and a list of identifiers, goes on where a broken link cut it off, and sets its clock.

        *Begin* needs the button; it says nothing of it if the tag has the list, or part of it, already.
        """
        joined = b"".join(eids)
        self._linked(lambda: self._set_owner(secret, first_day, joined))

    def _set_owner(self, secret: TagSecret, first_day: int, eids: bytes) -> None:
        def begin(nonce: bytes) -> bytes:
            return set_owner.encode_begin(
                secret.signing_key,
                serial=secret.serial,
                nonce=nonce,
                k_own=secret.own_key,
                first_day=first_day,
                eids=eids,
            )

        whole = len(eids) // set_owner.EID_LEN
        held = self._step(begin, pressed=True)
        for part in set_owner.split_list(eids, held):
            self._edges.say(f"The tag holds {held} of {whole} days.")
            held = self._step(partial(_same, part))
        if held != whole:
            raise PrivateError("tag_answer", "The tag counts other days than it was given.", "Run this again.")
        self._step(lambda _: set_owner.encode_finish(int(self._edges.now_s())))

    def _step(self, plain: Callable[[bytes], bytes], *, pressed: bool = False) -> int:
        """One step of op 02; how many identifiers of the list the tag holds then."""

        def sealed(nonce: bytes) -> Request:
            iv = self._edges.dice(set_owner.IV_LEN)
            return Op.SET_OWNER, set_owner.seal_step(self._k_claim, nonce, iv, plain(nonce))

        _, answer = (self._pressed if pressed else self._ask)(sealed)
        try:
            return set_owner.decode_held(answer)
        except WireError as wrong:
            raise _odd(wrong) from None

    # --- One message, the button, the link ----------------------------------------------------------------

    def _ask(self, request: Callable[[bytes], Request]) -> tuple[Op, bytes]:
        """One message under one nonce: what was asked, and the data of the tag's answer."""
        nonce = self._radio.connect(self.heard())
        op, data = request(nonce)
        message = gatt.encode_message(op, data, gatt.claim_mac(self._k_claim, nonce, op, data))
        try:
            return op, gatt.decode_reply(self._radio.write(message), op)
        except WireError as wrong:
            raise _odd(wrong) from None

    def _pressed(self, request: Callable[[bytes], Request]) -> tuple[Op, bytes]:
        """The same, asked again until somebody has pressed the tag's button."""
        for attempt in range(PRESS_TRIES):
            try:
                return self._ask(request)
            except RefusedError as refused:
                if refused.code != "button_not_pressed" or attempt == PRESS_TRIES - 1:
                    raise
            if not attempt:
                self._edges.say("The tag waits for its button: press it now.")
            self._edges.wait(PRESS_EVERY_S)
        raise AssertionError("the last attempt returns or raises")

    def _linked(self, act: Callable[[], T]) -> T:
        """Does it again, from its beginning, with the tag found anew, when the link breaks."""
        for attempt in range(LINKS_MAX):
            try:
                return act()
            except RefusedError as refused:
                heard = bool(self._frame)
                self.close()
                if refused.code not in BROKEN or not heard or attempt == LINKS_MAX - 1:
                    raise
            self._edges.say("The connection to the tag broke. Trying again …")
        raise AssertionError("the last attempt returns or raises")

    def heard(self) -> bytes:
        """The tag's frame, listened for until it is heard."""
        for attempt in range(HEAR_TRIES):
            if self._frame:
                break
            if attempt:
                if attempt == 1:
                    self._edges.say("The tag is not heard yet. Hold it near the gateway.")
                self._edges.wait(HEAR_EVERY_S)
            frames = self._frames()
            at = self._find(frames)
            self._frame = frames[at] if at is not None else b""
            if not self._frame and attempt % 3 == 2:
                self._frame = self._probe(frames)
        if not self._frame:
            self.close()
            raise RefusedError(
                "tag_not_heard",
                "The tag is not heard by this gateway.",
                "Hold it near the gateway, press its button, and try again.",
            )
        return self._frame

    def _frames(self) -> list[bytes]:
        try:
            return self._radio.start()
        except RefusedError as refused:
            if refused.code != "tag_not_heard":
                raise
            return []

    def _probe(self, frames: Sequence[bytes]) -> bytes:
        """A frame that nobody here knows, of a tag that knows our code: one that a former owner gave away uncleared."""
        unknown = [each for each in frames if recognise.kind_of(each) in (FrameType.OWNED, FrameType.NEAR_OWNER)]
        for frame in unknown[:PROBES_MAX]:
            self._frame = frame
            try:
                self._ask(lambda _: (Op.STATE, b""))
            except (RefusedError, PrivateError):
                continue
            return frame
        return b""


def _told(ready: Callable[[bytes, bool], Request], cleared: bool, nonce: bytes) -> Request:
    return ready(nonce, cleared)


def _same(plain: bytes, _nonce: bytes) -> bytes:
    return plain


def _odd(wrong: WireError) -> PrivateError:
    return PrivateError("tag_answer", f"The tag's answer makes no sense: {wrong}.", "Run this again.")
