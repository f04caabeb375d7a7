"""Whom a client takes for the server: authorities of its own, and pinned certificates.

Pins are checked inside the TLS handshake, so no password or token leaves the machine before; and in one
place for HTTP and WebSocket, which both take an `ssl.SSLContext`.

Source: spec features.md §3.4 (`ssl`), §3.3 (pinned certificates).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hinterland.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

__all__ = ["TLS", "public_key_of", "untrusted"]

_is_digest = re.compile(r"[0-9a-f]{64}").fullmatch
_VERSION: Final = 0xA0


@dataclass(frozen=True, slots=True, init=False)
class TLS:
    """How to make sure that the server is the right one; kept with the user.

    Attributes:
        ca_file: Certificates in PEM form that may sign the server's; instead of those of the system.
        pins: SHA-256 digests in hexadecimal; the server's certificate or its public key must have one of them.
    """

    ca_file: str | None
    pins: tuple[str, ...]

    def __init__(self, ca_file: str | os.PathLike[str] | None = None, pins: Sequence[str] = ()) -> None:
        """Make the settings.

        Args:
            ca_file: A file with certificates in PEM form, such as that of your own authority.
            pins: Digests of the server's certificate or of its public key (SubjectPublicKeyInfo), as
                "sha256/<base64>" or in hexadecimal, with or without colons. Name the next one as well before
                you change the server's key.

        Raises:
            ConfigurationError: A pin is malformed, or there is no such file.
        """
        path = None if ca_file is None else os.path.abspath(ca_file)  # noqa: PTH100 - keeps symbolic links, which are what gets renewed
        if path is not None and not Path(path).is_file():
            raise ConfigurationError(f"TLS: there is no file {path}; ca_file names certificates in PEM form")
        object.__setattr__(self, "ca_file", path)
        object.__setattr__(self, "pins", tuple(_digest(pin) for pin in ([pins] if isinstance(pins, str) else pins)))

    @classmethod
    def restored(cls, ca_file: str | None, pins: tuple[str, ...]) -> TLS:
        """Return settings that were checked when they were made; a file that is missing now is told when it is used."""
        settings = object.__new__(cls)
        object.__setattr__(settings, "ca_file", ca_file)
        object.__setattr__(settings, "pins", pins)
        return settings

    def context(self) -> ssl.SSLContext:
        """Return the context for a connection; reads files.

        Raises:
            ConfigurationError: `ca_file` has no certificates.
        """
        import ssl  # not everywhere: a browser has none, and needs none

        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"TLS: {self.ca_file} has no usable certificates: {error}") from error
        if self.pins:
            _pin(context, frozenset(self.pins))
        return context


def untrusted(error: BaseException) -> str | None:
    """Return what is wrong with the server's certificate, if that is what the error of a connection says."""
    reason: Any = getattr(error, "reason", error)
    message = getattr(reason, "verify_message", None)
    return str(message) if message is not None else None


def _pin(context: ssl.SSLContext, pins: frozenset[str]) -> None:
    """Let the context's handshakes fail unless the certificate is one of those pinned."""
    import ssl

    def check(certificate: bytes | None) -> None:
        if certificate is not None:
            found = {hashlib.sha256(part).hexdigest() for part in (certificate, public_key_of(certificate))}
            if found & pins:
                return
        text = "the server's certificate is not the pinned one"
        error = ssl.SSLCertVerificationError(1, text)
        error.verify_message = text
        raise error

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT002 - as its base has it
            super().do_handshake(block)
            check(self.getpeercert(binary_form=True))

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            check(self.getpeercert(binary_form=True))

    context.sslsocket_class = PinnedSocket
    context.sslobject_class = PinnedObject


def _digest(pin: str) -> str:
    kind, slash, text = pin.strip().partition("/")
    try:
        found = base64.b64decode(text, validate=True).hex() if slash and kind.lower() == "sha256" else ""
    except (binascii.Error, ValueError):
        found = ""
    found = found or pin.strip().replace(":", "").lower()
    if not _is_digest(found):
        raise ConfigurationError(
            f"TLS: {pin!r} is no pin; give the SHA-256 digest of the server's certificate or public key"
            " as 'sha256/<base64>' or in hexadecimal"
        )
    return found


def public_key_of(certificate: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a certificate in DER form; empty if there is none to be found.

    It is the seventh part of the certificate's content, the sixth if the version is left out (RFC 5280 §4.1).
    """
    try:
        content = _parts(_parts(certificate)[0][1])[0][1]
        parts = _parts(content)
        index = 6 if parts[0][0] == _VERSION else 5
        return parts[index][2]
    except IndexError:
        return b""


def _parts(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """Split a DER sequence's content into (tag, content, whole).

    Raises:
        IndexError: It is cut off.
    """
    found = []
    start = 0
    while start < len(data):
        tag, length, at = data[start], data[start + 1], start + 2
        if length >= 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[at : at + count])
            at += count
        end = at + length
        if end > len(data):
            raise IndexError("cut off")
        found.append((tag, data[at:end], data[start:end]))
        start = end
    return found
