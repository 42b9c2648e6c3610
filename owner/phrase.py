"""A tag's secret as 24 words that a person can write down, and a public key as six words that two people can compare.

The words are BIP-39's English list (PyPI `mnemonic`): 24 of them hold 256 bits and a checksum of eight, the first four
letters tell a word. Of the wrong phrases made of right words one in 256 still passes the checksum.
"""

from __future__ import annotations

import difflib
import hashlib
from functools import cache
from typing import Final

from mnemonic import Mnemonic

from owner.errors import PrivateError

WORDS: Final = 24
SEED_LEN: Final = 32
# 66 bits: enough that nobody makes a second key with the same words while two people are on the telephone.
FINGERPRINT_WORDS: Final = 6
_BITS: Final = 11
# Longer than any 24 words; more is refused unread.
_TEXT_MAX: Final = 1_000


@cache
def _list() -> Mnemonic:
    return Mnemonic("english")


def phrase_of(seed: bytes) -> str:
    """The recovery phrase of S_o (32 bytes): whoever has it reads every place of the tag."""
    assert len(seed) == SEED_LEN, "a tag's secret has 32 bytes"
    return str(_list().to_mnemonic(seed))


def seed_of(text: str) -> bytes:
    """S_o from what somebody typed: any case, any blanks, numbers before the words, four letters of a word suffice.

    Raises PrivateError `phrase_words` (another number of words), `phrase_word` (one that is not on the list: says which
    place, and what may be meant), `phrase_checksum`.
    """
    if len(text) > _TEXT_MAX:
        raise PrivateError("phrase_words", "That is far longer than a recovery phrase.", f"It has {WORDS} words.")
    typed = [word for word in text.lower().replace(",", " ").split() if not word.strip(".)").isdigit()]
    if len(typed) != WORDS:
        raise PrivateError(
            "phrase_words", f"A recovery phrase has {WORDS} words, this one {len(typed)}.", "Is a word missing?"
        )
    words = [_word(place, word) for place, word in enumerate(typed, 1)]
    try:
        return bytes(_list().to_entropy(words))
    except ValueError:
        raise PrivateError(
            "phrase_checksum",
            "Each word is on the list, but together they are no recovery phrase: the checksum differs.",
            "Look for two words exchanged, or for one that looks like another.",
        ) from None


def words_beginning(letters: str) -> list[str]:
    """The words of the list that begin so; all 2,048 for nothing."""
    return [word for word in _list().wordlist if word.startswith(letters.lower())]


def fingerprint(public_key: bytes) -> str:
    """Six words that name a public key, to be read out to one another. They protect nothing else."""
    number = int.from_bytes(hashlib.sha256(b"hearsight key words v1" + public_key).digest(), "big")
    shifts = range(256 - _BITS, 256 - _BITS * (FINGERPRINT_WORDS + 1), -_BITS)
    return " ".join(_list().wordlist[number >> shift & 2**_BITS - 1] for shift in shifts)


def _word(place: int, typed: str) -> str:
    found = _list().expand_word(typed)
    if found in _list().wordlist:
        return str(found)
    near = difflib.get_close_matches(typed, _list().wordlist, n=3, cutoff=0.6)
    raise PrivateError(
        "phrase_word", f"Word {place} is not on the list.", f"Is it {' or '.join(near)}?" if near else "Look it up."
    )
