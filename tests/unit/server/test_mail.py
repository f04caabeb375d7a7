"""Sending mail."""

from __future__ import annotations

import asyncio
import email
import email.policy
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from hinterland.errors import ConfigurationError
from hinterland.server import Config, ConsoleMail, Mail, SmtpMail
from hinterland.server.mail import Outbox, Security, is_email_address

DEADLINE_S = 30
MAIL = Mail("ada@x.org", "Grüße", "Folge diesem Link: https://sync.example/reset?token=abc_def\n" + "ä" * 200)


class Relay:
    """A mail server on loopback, and what it got."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        self.received.append(envelope)
        return "250 taken"

    async def take(self, security: Security, mail: Mail) -> None:
        """Be sent a mail."""
        server = await asyncio.get_running_loop().create_server(lambda: SMTP(self), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await SmtpMail("127.0.0.1", "app@sync.example", port, security).send(mail)


def test_a_mail_server_gets_the_message() -> None:
    """From, to, subject and text arrive, in whatever language."""
    relay = Relay()
    asyncio.run(relay.take("none", MAIL))
    (envelope,) = relay.received
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert (envelope.mail_from, envelope.rcpt_tos) == ("app@sync.example", ["ada@x.org"])
    assert (message["From"], message["To"], message["Subject"]) == ("app@sync.example", "ada@x.org", "Grüße")
    body = message.get_body()
    assert body is not None
    assert body.get_content().split() == MAIL.text.split()


def test_without_encryption_no_mail_is_sent_unless_that_was_asked_for() -> None:
    """A server that does not offer STARTTLS gets nothing."""
    relay = Relay()
    with pytest.raises(OSError, match="STARTTLS"):
        asyncio.run(relay.take("starttls", MAIL))
    assert relay.received == []


def test_one_mail_that_fails_does_not_hold_up_the_next(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, without what it says."""
    sent: list[str] = []
    done = asyncio.Event()

    class Moody:
        async def send(self, mail: Mail) -> None:
            if mail.to == "bad@x.org":
                raise OSError("mailbox full")
            sent.append(mail.to)
            done.set()

    async def run() -> None:
        outbox = Outbox(Moody())
        for to in ("bad@x.org", "good@x.org"):
            outbox.put(Mail(to, "s", "secret link"))
        await asyncio.wait_for(done.wait(), DEADLINE_S)
        await outbox.close()

    asyncio.run(run())
    assert sent == ["good@x.org"]
    assert "mailbox full" in caplog.text
    assert "secret link" not in caplog.text


@pytest.mark.parametrize("text", ["a@b", "a@x.org", "first.last+tag@sub.x.org", "ä@ö.org"])
def test_addresses(text: str) -> None:
    """Whatever could be one passes; confirmation decides."""
    assert is_email_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        "a@b\nBcc: x@y",
        "a@b\r",
        "<a@b>",
        "a,b@c",
        "a@b,c@d",
        "a" * 65 + "@b",
        "a\0@b",
    ],
)
def test_no_addresses(text: str) -> None:
    """Nothing that could add a header or a recipient."""
    assert not is_email_address(text)


def test_a_mail_server_is_named_by_a_url() -> None:
    """As environment variables can."""
    found = SmtpMail.from_url("smtps://me%40x.org:p%2Fw@mail.x.org?from=app@x.org")
    assert found == SmtpMail("mail.x.org", "app@x.org", 465, "tls", "me@x.org", "p/w")
    environment = {"HINTERLAND_MAIL": "smtp://mail.x.org:2525?from=app@x.org", "HINTERLAND_PUBLIC_URL": "https://x.org"}
    assert Config.from_environment(environment).mail == SmtpMail("mail.x.org", "app@x.org", 2525)
    for url in (
        "mail.x.org",
        "http://mail.x.org?from=a@b",
        "smtp://mail.x.org",
        "smtp://x:y?from=a@b",
        "smtp://x?from=nobody",
    ):
        with pytest.raises(ConfigurationError):
            SmtpMail.from_url(url)


def test_the_console_shows_links(capsys: pytest.CaptureFixture[str]) -> None:
    """Unbroken, so that they can be clicked."""
    asyncio.run(ConsoleMail().send(MAIL))
    assert "https://sync.example/reset?token=abc_def" in capsys.readouterr().err
