"""The one error of every decoder in this package."""


class WireError(ValueError):
    """Bytes from outside that are not what they should be.

    `code` is a short snake_case word for counters and answers (documented in docs/wire-format.md);
    the message says what was wrong, never what was inside: it may be logged.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
