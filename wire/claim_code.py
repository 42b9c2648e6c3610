"""The code printed inside the box: K_claim as Crockford base32 with a check character.

16 bytes are 128 bits, 26 symbols hold 130: the two padding bits must be zero, so that one key has one code.
The check character (value modulo 37, Crockford's own alphabet) tells a mistyped code without saying how it
should read: a suggestion would help somebody who guesses.
"""

from __future__ import annotations

from typing import Final

from wire.errors import WireError

_SYMBOLS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHECK_SYMBOLS: Final = _SYMBOLS + "*~$=U"
_VALUE: Final = {symbol: value for value, symbol in enumerate(_SYMBOLS)}
_LOOKALIKES: Final = str.maketrans({"O": "0", "I": "1", "L": "1"})
_BODY_LEN: Final = 26
# Longest thing a person may paste: the code with hyphens and blanks; more is refused unread.
_TEXT_MAX: Final = 64


def encode_claim_code(k_claim: bytes) -> str:
    """Six groups of letters and digits, e.g. ABCDE-FGH…; the last character is the check character."""
    if len(k_claim) != 16:
        raise WireError("out_of_range", "a claim key has 16 bytes")
    number = int.from_bytes(k_claim, "big")
    body = "".join(_SYMBOLS[number >> shift & 31] for shift in range(125, -5, -5))
    text = body + _CHECK_SYMBOLS[number % 37]
    return "-".join(text[i : i + 5] for i in range(0, len(text), 5))


def decode_claim_code(text: str) -> bytes:
    """K_claim from what somebody typed: any case, blanks and hyphens, O for 0, I and L for 1.

    Raises WireError `code_mistyped`, whatever is wrong: one answer for every mistake.
    """
    wrong = WireError("code_mistyped", "this is not a complete claim code, or a character in it is wrong")
    if len(text) > _TEXT_MAX or not text.isascii():
        raise wrong
    symbols = "".join(text.upper().split()).replace("-", "").translate(_LOOKALIKES)
    body, check = symbols[:-1], symbols[-1:]
    if len(body) != _BODY_LEN or any(symbol not in _VALUE for symbol in body):
        raise wrong
    number = 0
    for symbol in body:
        number = number << 5 | _VALUE[symbol]
    if number >> 128 or check != _CHECK_SYMBOLS[number % 37]:
        raise wrong
    return number.to_bytes(16, "big")
