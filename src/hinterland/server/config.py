"""The configuration of a server."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from hinterland.errors import ConfigurationError
from hinterland.server.mail import ConsoleMail, MailSender, MailTexts, SmtpMail
from hinterland.server.providers import Anonymous, ApiKeys, Nickname, Password, Provider
from hinterland.server.rate_limits import RateLimits

__all__ = ["Config", "duration_s"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Config:
    """How a server runs; every field has a default that suits development.

    Attributes:
        data: The data directory; made if absent.
        address: Where to listen; the default accepts connections from this machine only.
        port: 0 chooses a free one.
        auth: Ways to log in; by default passwords and API keys and, in development, also anonymously and by nickname.
        development: Whether to prefer convenience: see `auth`, `mail` and `open_schemas`. Never switch this on in production.
        mail: What sends mails for password resets and confirmations; in development they go to the console.
            As environment variable, a URL: see `SmtpMail.from_url`.
        mail_texts: What mails say.
        rate_limits: How often somebody may try to log in, and the like.
        public_url: How clients reach the server, if that differs from the request's Host header.
        history_ttl: For how long a client may be away before its place in the history is given up,
            for example "30d"; None keeps everything.
        open_schemas: Whether everybody who may write to a query-based realm may bring classes and properties, as in
            development; otherwise only those who manage the realm may.
        view_ttl: For how long a client of a query-based realm may be away before the server forgets what it has seen,
            and sends everything anew; None remembers for ever.
        subscriptions_max: How many subscriptions a client may have in a query-based realm.
        queries_bytes_max: How long they may be, all together.
        scan_objects_max: Classes with more objects may only be asked what an index serves.
        allow_scans: Whether queries may look at all objects of a class, however many there are.
        bootstraps_max: To how many clients results of new subscriptions are prepared and sent at the same time;
            others wait for their turn.
        access_token_ttl_s: How long an access token is valid.
        refresh_token_ttl_s: How long a login lasts without being used.
        rotation_grace_s: For how long a rotated refresh token may still be used after its successor was.
        token_leeway_s: For how long a connection may outlive its access token, at most.
        admin_user: Name of a user with a password who is made an admin at the start, if there is no such user yet.
        admin_password: The password of `admin_user`.
        durable: Whether acknowledged data survives a power failure (fsync at each commit).
        workers: Threads that read and write realm files; 0 chooses by the number of processors.
        open_realms_max: How many realm files are kept open.
        message_bytes_max: The largest WebSocket message accepted.
        body_bytes_max: What an upload may inflate to.
        backlog_bytes_max: Uploads of a connection that may wait to be merged before its socket is
            no longer read.
        idle_timeout_s: Connections silent for this long are closed.
        tls_certificate: PEM file; with `tls_key` makes the server speak TLS.
        tls_key: PEM file.
    """

    data: str | Path = "hinterland-data"
    address: str = "127.0.0.1"
    port: int = 9080
    auth: Sequence[Provider] | None = None
    development: bool = False
    mail: MailSender | None = None
    mail_texts: MailTexts = field(default_factory=MailTexts)
    rate_limits: RateLimits = field(default_factory=RateLimits)
    public_url: str | None = None
    history_ttl: str | None = None
    open_schemas: bool = False
    view_ttl: str | None = "60d"
    subscriptions_max: int = 1_000
    queries_bytes_max: int = _MIB
    scan_objects_max: int = 100_000
    allow_scans: bool = False
    bootstraps_max: int = 32
    access_token_ttl_s: int = 600
    refresh_token_ttl_s: int = 60 * 86_400
    rotation_grace_s: float = 60
    token_leeway_s: float = 30
    admin_user: str | None = None
    admin_password: str | None = field(default=None, repr=False)
    durable: bool = True
    workers: int = 0
    open_realms_max: int = 256
    message_bytes_max: int = 64 * _MIB
    body_bytes_max: int = 256 * _MIB
    backlog_bytes_max: int = 32 * _MIB
    idle_timeout_s: float = 1800
    tls_certificate: str | Path | None = None
    tls_key: str | Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ConfigurationError(f"port {self.port} is not between 0 and 65535")
        for name in (
            "access_token_ttl_s", "refresh_token_ttl_s", "open_realms_max", "idle_timeout_s", "subscriptions_max",
            "queries_bytes_max", "scan_objects_max", "bootstraps_max",
        ):  # fmt: skip
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("message_bytes_max", "body_bytes_max", "backlog_bytes_max"):
            if getattr(self, name) < 65_536:
                raise ConfigurationError(f"{name} must be at least 65536, not {getattr(self, name)}")
        for name in ("rotation_grace_s", "token_leeway_s"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name} must not be negative, not {getattr(self, name)}")
        if (self.admin_user is None) != (self.admin_password is None):
            raise ConfigurationError("admin_user and admin_password belong together; one is missing")
        if self.workers < 0:
            raise ConfigurationError(f"workers must not be negative, not {self.workers}")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ConfigurationError("tls_certificate and tls_key belong together; one is missing")
        if self.public_url is not None and not self.public_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"public_url {self.public_url!r} must start with http:// or https://")
        if self.mail is not None and self.public_url is None and not self.development:
            raise ConfigurationError("mails have links, so mail needs public_url as well")
        if self.mail_sender is None and any(getattr(one, "confirm_email", False) for one in self.providers):
            raise ConfigurationError("providers.Password(confirm_email=True) needs mail")
        names = [provider.name for provider in self.providers]
        if "realm" in names:
            raise ConfigurationError("'realm' cannot be the name of an auth provider: it stands for a refresh token")
        if len(set(names)) != len(names):
            raise ConfigurationError(f"two auth providers have the same name: {', '.join(names)}")
        self.history_ttl_s  # noqa: B018 - raises if malformed
        self.view_ttl_s  # noqa: B018 - likewise

    @property
    def providers(self) -> Sequence[Provider]:
        """The ways to log in."""
        if self.auth is not None:
            return self.auth
        return (Password(), ApiKeys(), Anonymous(), Nickname()) if self.development else (Password(), ApiKeys())

    @property
    def mail_sender(self) -> MailSender | None:
        """What sends mails."""
        return self.mail or (ConsoleMail() if self.development else None)

    @property
    def mail_url(self) -> str:
        """Where links in mails lead. Never what a request's Host header says, which anybody can forge."""
        return (self.public_url or f"http://localhost:{self.port}").rstrip("/")

    @property
    def history_ttl_s(self) -> float | None:
        """`history_ttl` in seconds."""
        return None if self.history_ttl is None else duration_s("history_ttl", self.history_ttl)

    @property
    def view_ttl_s(self) -> float | None:
        """`view_ttl` in seconds; None for "never"."""
        return None if self.view_ttl in (None, "never") else duration_s("view_ttl", self.view_ttl)

    @property
    def workers_effective(self) -> int:
        """The number of worker threads."""
        return self.workers or min(8, max(2, os.cpu_count() or 2))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **given: object) -> Config:
        """Make a configuration of `HINTERLAND_*` variables; what is `given` (and not None) goes first.

        Raises:
            ConfigurationError: A variable is malformed; the message names it.
        """
        values: dict[str, object] = {}
        for one in fields(cls):
            text = environment.get(f"HINTERLAND_{one.name.upper()}")
            if text is not None and one.name not in _NOT_TEXT:
                values[one.name] = _parse(one.name, str(one.type), text)
        values.update({name: value for name, value in given.items() if value is not None})
        return cls(**values)  # type: ignore[arg-type]


_NOT_TEXT: Final = frozenset({"auth", "mail_texts", "rate_limits"})


def duration_s(name: str, text: str) -> float:
    """Return in seconds a duration such as "30d", which is called `name` in what is raised.

    Raises:
        ConfigurationError: It is none.
    """
    number, unit = text[:-1], text[-1:]
    factor = {"s": 1, "m": 60, "h": 3600, "d": 86_400}.get(unit)
    if factor is None or not number.isdigit() or int(number) == 0:
        raise ConfigurationError(f"{name} {text!r} is not a duration such as 30d, 12h or 90m")
    return int(number) * factor


def _parse(name: str, kind: str, text: str) -> object:
    if name == "mail":
        return SmtpMail.from_url(text)
    try:
        if kind == "bool":
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except (KeyError, ValueError):
        raise ConfigurationError(f"HINTERLAND_{name.upper()}={text!r} is not of type {kind}") from None
    return text
