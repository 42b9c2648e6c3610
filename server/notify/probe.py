"""Looks whether the mail server's door answers: a greeting, the log-in if there is one, a word that does nothing."""

from __future__ import annotations

import smtplib

from server.notify.mail import Mailer


def look(mailer: Mailer) -> str:
    """Why no letter could go that way just now; empty if one could. Waits at most as long as a letter would."""
    try:
        with mailer.connect() as smtp:
            code, _ = smtp.noop()
    except (OSError, smtplib.SMTPException) as error:
        # The kind alone: a server's own words may hold addresses.
        return type(error).__name__
    return "" if code == 250 else f"answered {code}"
