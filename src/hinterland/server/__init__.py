"""The self-hosted server; needs the `server` extra: `pip install hinterland[server]`."""

from __future__ import annotations

try:
    from hinterland.server import providers
    from hinterland.server.config import Config
    from hinterland.server.mail import ConsoleMail, Mail, MailSender, MailTexts, SmtpMail
    from hinterland.server.rate_limits import RateLimits
    from hinterland.server.server import ObjectServer
except ModuleNotFoundError as error:
    if error.name is None or error.name.startswith("hinterland"):
        raise
    raise ModuleNotFoundError(
        f"hinterland.server needs the server extra: pip install 'hinterland[server]' ({error})", name=error.name
    ) from error

__all__ = [
    "Config",
    "ConsoleMail",
    "Mail",
    "MailSender",
    "MailTexts",
    "ObjectServer",
    "RateLimits",
    "SmtpMail",
    "providers",
]
