"""TLS: checking certificate and key, taking up renewed ones, and telling browsers to insist on it."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

from hinterland.errors import ConfigurationError
from hinterland.server.config import Config

__all__ = ["check_tls", "insists_on_tls", "reload_tls", "with_hsts"]

HSTS: Final = (b"strict-transport-security", b"max-age=31536000")

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def check_tls(config: Config) -> None:
    """Refuse a certificate or key that cannot be used.

    Raises:
        ConfigurationError: A file cannot be read, or they do not belong together.
    """
    if config.tls_certificate is None or config.tls_key is None:
        return
    for name, file in (("tls_certificate", config.tls_certificate), ("tls_key", config.tls_key)):
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{name} {str(file)!r} cannot be read: {error.strerror or error}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(config.tls_certificate, config.tls_key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"tls_certificate {str(config.tls_certificate)!r} and tls_key {str(config.tls_key)!r} "
            f"are not a PEM certificate and its key: {error}"
        ) from error


def reload_tls(config: Config, context: ssl.SSLContext) -> None:
    """Use the certificate and key that are in the files now for new connections; old ones go on.

    Raises:
        ConfigurationError: They cannot be used; what was used before stays.
    """
    check_tls(config)
    if config.tls_certificate is not None and config.tls_key is not None:
        context.load_cert_chain(config.tls_certificate, config.tls_key)


def insists_on_tls(config: Config) -> bool:
    """Whether clients reach the server by https only: its own, or that of a proxy."""
    return config.tls_certificate is not None or (config.public_url or "").startswith("https://")


def with_hsts(send: Send) -> Send:
    """Return a `send` that adds the header by which browsers never try without TLS again (RFC 6797)."""

    async def send_with_hsts(event: MutableMapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            event["headers"] = [*event.get("headers", ()), HSTS]
        await send(event)

    return send_with_hsts
