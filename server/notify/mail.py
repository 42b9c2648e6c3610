"""Letters by e-mail: one SMTP conversation each, with the standard library."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from server.notify.words import Letter

# A mail server that says nothing for this long is away; the notice is tried again later.
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Mailer:
    """Where mail goes out: `smtp://user:password@host:587` (STARTTLS where offered) or `smtps://…:465`."""

    url: str
    sender: str

    def send(self, to: str, letter: Letter, *, message_id: str, at: datetime) -> None:
        """Hands one letter to the mail server. Raises OSError or smtplib.SMTPException: try again later.

        `message_id` stays the same over repetitions, so that a mailbox can drop a letter that came twice.
        """
        message = EmailMessage()
        # A header is one line, whatever somebody called their tag.
        message["From"], message["To"], message["Subject"] = self.sender, to, " ".join(letter.subject.split())
        message["Date"], message["Message-ID"] = format_datetime(at), f"<{message_id}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        with self.connect() as smtp:
            smtp.send_message(message)

    def connect(self) -> smtplib.SMTP:
        """A conversation with the mail server, logged in if there is a user. Raises as `send` does."""
        where = urlsplit(self.url)
        host, context = where.hostname or "localhost", ssl.create_default_context()
        if where.scheme == "smtps":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(host, where.port or 465, timeout=TIMEOUT_S, context=context)
        else:
            smtp = smtplib.SMTP(host, where.port or 587, timeout=TIMEOUT_S)
            smtp.ehlo()
            if smtp.has_extn("starttls"):
                smtp.starttls(context=context)
        if where.username:
            smtp.login(unquote(where.username), unquote(where.password or ""))
        return smtp
