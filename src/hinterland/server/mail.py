"""Sending mail: by SMTP, or to the console while developing.

Source: spec features.md §5.4 (`emailHandlerConfig`).
"""

from __future__ import annotations

import asyncio
import logging
import re
import smtplib
import ssl
import sys
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Final, Literal, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from hinterland.errors import ConfigurationError

__all__ = ["ConsoleMail", "Mail", "MailSender", "MailTexts", "Outbox", "Security", "SmtpMail", "is_email_address"]

_log = logging.getLogger("hinterland.server")

SMTP_TIMEOUT_S: Final = 30.0
OUTBOX_MAILS_MAX: Final = 1000

_ADDRESS: Final = re.compile(r"[^@\s\x00-\x1f\x7f<>(),;:\"\[\]\\]{1,64}@[^@\s\x00-\x1f\x7f<>(),;:\"\[\]\\]{1,189}")


def is_email_address(text: str) -> bool:
    """Whether mail can be sent there; whether it arrives is what confirmation is for."""
    return _ADDRESS.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Mail:
    """One message."""

    to: str
    subject: str
    text: str


class MailSender(Protocol):
    """A way to send mail; write your own by having this member."""

    async def send(self, mail: Mail) -> None:
        """Send a message.

        Raises:
            OSError: It cannot be sent; this is logged, and the message lost.
        """


@dataclass(frozen=True, slots=True)
class ConsoleMail:
    """Prints messages, for development."""

    async def send(self, mail: Mail) -> None:
        """Print it on standard error, where links in it can be clicked."""
        print(f"\nTo: {mail.to}\nSubject: {mail.subject}\n\n{mail.text}\n", file=sys.stderr, flush=True)  # noqa: T201


Security = Literal["starttls", "tls", "none"]
_SCHEMES: Final[dict[str, Security]] = {"smtp": "starttls", "smtps": "tls", "smtp+plain": "none"}


@dataclass(frozen=True, slots=True)
class SmtpMail:
    """Sends by a mail server.

    Attributes:
        host: Its name.
        sender: The address that mails come from.
        port: 587 with "starttls", 465 with "tls".
        security: "starttls", "tls", or "none" for a relay on this machine.
        username: For servers that want to know.
        password: For servers that want to know.
    """

    host: str
    sender: str
    port: int = 587
    security: Security = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not is_email_address(self.sender):
            raise ConfigurationError(f"SmtpMail: sender {self.sender!r} is not an e-mail address")
        if self.security not in ("starttls", "tls", "none"):
            raise ConfigurationError(f"SmtpMail: security {self.security!r} is not starttls, tls or none")

    @classmethod
    def from_url(cls, url: str) -> SmtpMail:
        """Return the sender for a URL like `smtp://user:password@host:587?from=app@example.com`.

        `smtp` means STARTTLS, `smtps` TLS from the start, `smtp+plain` neither.

        Raises:
            ConfigurationError: It is malformed.
        """
        try:
            parts = urlsplit(url)
            security = _SCHEMES[parts.scheme]
            port = parts.port or {"starttls": 587, "tls": 465, "none": 25}[security]
            (sender,) = parse_qs(parts.query)["from"]
        except (ValueError, KeyError):
            raise ConfigurationError(
                "mail: a URL like 'smtp://user:password@host:587?from=app@example.com' is needed"
            ) from None
        name, password = (None if one is None else unquote(one) for one in (parts.username, parts.password))
        return cls(parts.hostname or "localhost", sender, port, security, name, password)

    async def send(self, mail: Mail) -> None:
        """Send a message, on a worker thread."""
        await asyncio.to_thread(self._send, mail)

    def _send(self, mail: Mail) -> None:
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = mail.to
        message["Subject"] = mail.subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self.sender.partition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        with self._connect() as connection:
            if self.username is not None:
                connection.login(self.username, self.password or "")
            connection.send_message(message)

    def _connect(self) -> smtplib.SMTP:
        if self.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=SMTP_TIMEOUT_S, context=context)
        connection = smtplib.SMTP(self.host, self.port, timeout=SMTP_TIMEOUT_S)
        if self.security == "starttls":
            connection.starttls(context=ssl.create_default_context())
        return connection


@dataclass(frozen=True, slots=True)
class MailTexts:
    """What mails say. `{link}` and `{email}` are replaced."""

    reset_subject: str = "Reset your password"
    reset_text: str = (
        "Somebody, hopefully you, asked to reset the password of {email}.\n\n"
        "To choose a new one, follow this link within an hour:\n{link}\n\n"
        "If it was not you, do nothing: your password stays as it is."
    )
    confirm_subject: str = "Confirm your e-mail address"
    confirm_text: str = (
        "To confirm that {email} is your address, follow this link within three days:\n{link}\n\n"
        "If you did not register, do nothing."
    )
    exists_subject: str = "You have an account already"
    exists_text: str = (
        "Somebody, perhaps you, tried to register with {email}, which has an account already.\n\n"
        "If you forgot the password, reset it: {link}\n"
        "If it was not you, do nothing."
    )


class Outbox:
    """Sends mails one after the other in the background, so that no answer waits for or tells of one."""

    def __init__(self, sender: MailSender) -> None:
        self._sender = sender
        self._mails: asyncio.Queue[Mail] = asyncio.Queue(OUTBOX_MAILS_MAX)
        self._task: asyncio.Task[None] | None = None

    def put(self, mail: Mail) -> None:
        """Send a mail soon. If a thousand wait already, it is dropped and logged."""
        try:
            self._mails.put_nowait(mail)
        except asyncio.QueueFull:
            _log.error("a mail to a user was dropped: %d wait to be sent", OUTBOX_MAILS_MAX)
            return
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while not self._mails.empty():
            try:
                await self._sender.send(self._mails.get_nowait())
            except Exception:  # noqa: BLE001 - a sender of the operator's may fail in any way; the next mail may go
                _log.exception("a mail could not be sent")

    async def close(self) -> None:
        """Stop sending."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
