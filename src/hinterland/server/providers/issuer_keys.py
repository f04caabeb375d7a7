"""The public keys of an issuer: fetched when needed, kept for minutes, replaced when they rotate.

Only URLs of the configuration, and the `jwks_uri` of the issuer's own discovery document, are ever
fetched; nothing that a token says leads anywhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from ipaddress import ip_address
from typing import IO, Any, Final
from urllib.parse import urlsplit

import jwt

from hinterland.errors import AuthenticationError, ConfigurationError, ConnectionFailedError
from hinterland.server.providers.signatures import ASYMMETRIC

__all__ = ["IssuerKeys", "check_issuer_url"]

_log = logging.getLogger("hinterland.server")

DOCUMENT_BYTES_MAX: Final = 1024 * 1024
FETCH_TIMEOUT_S: Final = 10.0
KEYS_MAX: Final = 100

KEYS_TTL_S: Final = 300.0
"""For so long keys are believed: a key that the issuer withdraws stops working after this at the latest."""

STALE_TTL_S: Final = 3600.0
"""For so long keys are believed when the issuer cannot be reached."""

RETRY_INTERVAL_S: Final = 10.0
"""Tokens with unknown key ids make us ask the issuer at most this often."""


@dataclass(frozen=True, slots=True)
class _Key:
    kid: str | None
    kty: str
    algorithm: str | None
    value: Any


class IssuerKeys:
    """The keys of one issuer. For use on one event loop at a time.

    Args:
        jwks_url: Where they are, if known.
        issuer: Else the issuer, whose discovery document says it.
        clock: Gives seconds that never go back.
    """

    def __init__(
        self, *, jwks_url: str | None = None, issuer: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        assert (jwks_url is None) != (issuer is None)
        check_issuer_url(str(jwks_url or issuer))
        self._jwks_url = jwks_url
        self._issuer = issuer
        self._clock = clock
        self._keys: tuple[_Key, ...] = ()
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._failure = ""
        self._lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    async def key(self, kid: str | None, algorithm: str) -> Any:
        """Return the key with that id, for that algorithm.

        Raises:
            AuthenticationError: The issuer has no such key.
            ConnectionFailedError: The issuer cannot be asked.
        """
        found = None
        if self._clock() - self._fetched_at < KEYS_TTL_S:
            found = self._find(kid, algorithm)
        if found is None:
            await self._refresh()
            found = self._find(kid, algorithm)
        if found is None:
            raise AuthenticationError("the token's key id is not one of the issuer's")
        return found.value

    def _find(self, kid: str | None, algorithm: str) -> _Key | None:
        """Return the only key that fits; a token may leave the id out only if there is no choice."""
        fitting = [
            key
            for key in self._keys
            if key.kty == ASYMMETRIC[algorithm] and key.algorithm in (None, algorithm) and kid in (None, key.kid)
        ]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        async with self._fetching():
            now = self._clock()
            if now - self._tried_at >= RETRY_INTERVAL_S:
                self._tried_at = now
                try:
                    self._keys = await asyncio.to_thread(self._fetch)
                    self._fetched_at = now
                    self._failure = ""
                except (OSError, HTTPException, ValueError) as error:
                    self._failure = str(error) or type(error).__name__
                    _log.warning("the keys of %s cannot be fetched: %s", self._jwks_url or self._issuer, error)
            if now - self._fetched_at >= STALE_TTL_S:
                raise ConnectionFailedError(
                    f"the keys of {self._jwks_url or self._issuer} cannot be fetched: {self._failure or 'try again'}"
                )

    def _fetching(self) -> asyncio.Lock:
        """Return what keeps us from fetching twice at once; a server that is started again has another loop."""
        loop = asyncio.get_running_loop()
        if self._lock is None or self._lock[0] is not loop:
            self._lock = loop, asyncio.Lock()
        return self._lock[1]

    def _fetch(self) -> tuple[_Key, ...]:
        url = self._jwks_url
        if url is None:
            assert self._issuer is not None
            document = _get(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
            if document.get("issuer") != self._issuer:
                raise ValueError(f"the discovery document is that of {str(document.get('issuer'))[:200]!r}")
            url = str(document.get("jwks_uri"))
            try:
                check_issuer_url(url)
            except ConfigurationError as error:
                raise ValueError(f"jwks_uri: {error}") from None
        return _read_keys(_get(url))


def check_issuer_url(url: str) -> None:
    """Refuse URLs that are not https; on this machine, http will do.

    Raises:
        ConfigurationError: It is not the URL of an issuer.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise ConfigurationError(f"{url!r} is not a URL") from None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))):
        raise ConfigurationError(f"{url!r} is not an https URL; keys fetched in the clear can be forged")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def _get(url: str) -> dict[str, Any]:
    """Fetch a JSON object; blocks, for a limited time."""
    deadline = time.monotonic() + FETCH_TIMEOUT_S
    request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "hinterland"})  # noqa: S310 - checked
    body = bytearray()
    with _opener.open(request, timeout=FETCH_TIMEOUT_S) as response:
        while chunk := response.read1(65_536):
            body += chunk
            if len(body) > DOCUMENT_BYTES_MAX:
                raise ValueError(f"{url} is larger than {DOCUMENT_BYTES_MAX} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} takes longer than {FETCH_TIMEOUT_S} s")
    try:
        document = json.loads(body)
    except RecursionError:
        document = None
    if not isinstance(document, dict):
        raise ValueError(f"{url} is not a JSON object")  # noqa: TRY004 - of what was fetched
    return document


def _read_keys(document: Mapping[str, object]) -> tuple[_Key, ...]:
    """Return the keys of a key set that can be used; unknown kinds are passed over (RFC 7517 §5)."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError("the key set has no list of keys")  # noqa: TRY004 - as above
    found = []
    for item in listed[:KEYS_MAX]:
        if not isinstance(item, dict) or item.get("kty") not in ASYMMETRIC.values():
            continue  # shared secrets (`oct`) have no place in a public document
        if item.get("use", "sig") != "sig":
            continue
        try:
            value = jwt.PyJWK(item).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
            _log.warning("left out a key of the issuer: %s", error)
            continue
        found.append(_Key(item.get("kid"), item["kty"], item.get("alg"), value))
    return tuple(found)
