"""A real OpenID Connect issuer for tests: discovery and key set over HTTP, keys that rotate."""

from __future__ import annotations

import itertools
import json
import threading
import time
import warnings
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from joserfc import jws, jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

Key = RSAKey | ECKey | OKPKey

# Making RSA keys takes long. Each issuer takes the next of the pool, so no two of a test have the same one.
_POOL_SIZE = 8


@cache
def _rsa(place: int) -> dict[str, Any]:
    return dict(RSAKey.generate_key(2048).as_dict(private=True))


_serials = itertools.count(1)


def _make(algorithm: str) -> Key:
    serial = next(_serials)
    parameters = {"kid": f"{algorithm}-{serial}", "use": "sig"}
    if algorithm == "RS256":
        return RSAKey.import_key({**_rsa(serial % _POOL_SIZE), **parameters})
    if algorithm == "ES256":
        return ECKey.generate_key("P-256", parameters)  # type: ignore[arg-type]
    return OKPKey.generate_key("Ed25519", {**parameters, "alg": "EdDSA"})  # type: ignore[arg-type]


class Issuer:
    """Serves on loopback while used with `with`; `requests` counts what was fetched."""

    def __init__(self, audience: str = "my-app") -> None:
        self.audience = audience
        self.keys: dict[str, Key] = {}
        self.requests: list[str] = []
        self.discovery: dict[str, Any] = {}
        self.is_broken = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.rotate("RS256")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def kid(self) -> str:
        """The id of the newest key."""
        return list(self.keys)[-1]

    def rotate(self, *algorithms: str, keep: bool = False) -> None:
        """Make new keys; the old ones are withdrawn unless they are kept."""
        if not keep:
            self.keys.clear()
        for algorithm in algorithms:
            key = _make(algorithm)
            self.keys[str(key.kid)] = key

    def claims(self, **changed: object) -> dict[str, object]:
        """Return good claims, but for what is changed; None leaves one out."""
        now_s = int(time.time())
        good = {"iss": self.url, "aud": self.audience, "sub": "ada", "iat": now_s, "exp": now_s + 300, **changed}
        return {name: value for name, value in good.items() if value is not None}

    def token(self, kid: str | None = None, header: dict[str, object] | None = None, **changed: object) -> str:
        """Return a token of the newest key, or the one named; `header` goes over the good one."""
        key = self.keys[kid or self.kid]
        algorithm = str((header or {}).get("alg") or (kid or self.kid).rpartition("-")[0])
        written = {"alg": algorithm, "kid": key.kid, **(header or {})}
        written = {name: value for name, value in written.items() if value is not None}
        registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        with warnings.catch_warnings(category=SecurityWarning, action="ignore"):  # EdDSA's name is old, but in use
            return jwt.encode(written, self.claims(**changed), key, registry=registry)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests.append(self.path)
                documents = {
                    "/.well-known/openid-configuration": {
                        "issuer": issuer.url,
                        "jwks_uri": issuer.url + "/keys",
                        "id_token_signing_alg_values_supported": ["RS256"],
                        **issuer.discovery,
                    },
                    "/keys": KeySet(list(issuer.keys.values())).as_dict(private=False),
                }
                document = documents.get(self.path)
                status = 500 if issuer.is_broken else 404 if document is None else 200
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler
