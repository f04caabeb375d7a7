"""Tokens: what is issued is accepted, what is forged is not."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hinterland.errors import AuthenticationError
from hinterland.server.keys import KeySet
from hinterland.server.tokens import Tokens

FORMER = bytes(range(32))
NOW = 1_700_000_000


@pytest.fixture
def keys(tmp_path: Path) -> KeySet:
    """A key set with the secret of the first version, too."""
    (tmp_path / "signing.key").write_text(FORMER.hex())
    return KeySet(tmp_path, retired_ttl_s=60, clock=lambda: NOW)


@pytest.fixture
def tokens(keys: KeySet) -> Tokens:
    return Tokens(keys, lambda: NOW)


def encoded(header: dict[str, object], claims: dict[str, object], signature: str = "") -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in (header, claims)]
    return ".".join([*parts, signature])


CLAIMS: dict[str, object] = {"iss": "hinterland", "sub": "ada", "typ": "access", "iat": NOW, "exp": NOW + 60}


def test_an_issued_token_speaks_for_its_user(tokens: Tokens) -> None:
    """All that was put in comes out; integer exp and iat, as clients demand (wire.md §8.6); fit for a URL."""
    token = tokens.issue("access", "ada", ttl_s=60, is_admin=True, app="x", token_id="t", login="l", path="/shared/x")
    assert tokens.check(token.text, "access") == token.principal
    principal = token.principal
    assert (principal.user, principal.is_admin, principal.app, principal.expires_s) == ("ada", True, "x", NOW + 60)
    assert (principal.token_id, principal.login, principal.path) == ("t", "l", "/shared/x")
    claims = jwt.decode(token.text, options={"verify_signature": False})
    assert type(claims["exp"]) is int
    assert type(claims["iat"]) is int
    assert len(token.text) < 600
    assert set(token.text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def forgeries(keys: KeySet) -> list[tuple[str, str]]:
    """Every way we know to make a token that must not be believed."""
    signer, kid = keys.signer, {"kid": keys.current.kid}
    public = signer.public_key()
    raw, pem = (
        public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )
    good = jwt.encode(CLAIMS, signer, "EdDSA", headers=kid)
    head, body, signature = good.split(".")
    other_body = encoded({}, {**CLAIMS, "sub": "eve"}).split(".")[1]

    def ours(**changed: object) -> str:
        return jwt.encode(
            {k: v for k, v in {**CLAIMS, **changed}.items() if v is not None}, signer, "EdDSA", headers=kid
        )

    return [
        ("empty", ""),
        ("no token", "x"),
        ("three parts", "a.b.c"),
        ("too long", "a" * 5000),
        ("alg none", encoded({"alg": "none", **kid}, CLAIMS)),
        ("alg none without kid", encoded({"alg": "none"}, CLAIMS)),
        ("alg None with a signature", encoded({"alg": "None", "typ": "JWT", **kid}, CLAIMS, "eA")),
        ("signature cut off", f"{head}.{body}."),
        ("signature of other claims", f"{head}.{other_body}.{signature}"),
        ("HS256 with the public key", encoded_hs256(kid, raw)),
        ("HS256 with the public PEM", encoded_hs256(kid, pem)),
        ("HS256 with the former secret under the new kid", jwt.encode(CLAIMS, FORMER, "HS256", headers=kid)),
        ("HS512 with the former secret", jwt.encode(CLAIMS, FORMER + FORMER, "HS512")),
        ("HS256 with another secret", jwt.encode(CLAIMS, b"y" * 32, "HS256")),
        ("EdDSA under the former kid", jwt.encode(CLAIMS, signer, "EdDSA")),
        ("foreign key, our kid", jwt.encode(CLAIMS, Ed25519PrivateKey.generate(), "EdDSA", headers=kid)),
        ("foreign kid", jwt.encode(CLAIMS, Ed25519PrivateKey.generate(), "EdDSA", headers={"kid": "ffff0000"})),
        ("kid is a path", jwt.encode(CLAIMS, FORMER, "HS256", headers={"kid": "../../etc/passwd"})),
        ("kid is no text", encoded({"alg": "EdDSA", "kid": 7}, CLAIMS, signature)),
        ("RS256", jwt.encode(CLAIMS, rsa.generate_private_key(65537, 2048), "RS256", headers=kid)),
        ("ES256", jwt.encode(CLAIMS, ec.generate_private_key(ec.SECP256R1()), "ES256", headers=kid)),
        (
            "its own key in the header",
            jwt.encode(
                CLAIMS,
                Ed25519PrivateKey.from_private_bytes(b"k" * 32),
                "EdDSA",
                headers={
                    **kid,
                    "jwk": {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(b"k" * 32).decode()},
                    "jku": "http://127.0.0.1:1/jwks.json",
                },
            ),
        ),
        ("another issuer", ours(iss="other")),
        ("a refresh token", ours(typ="refresh")),
        ("expired", ours(exp=NOW)),
        ("without exp", ours(exp=None)),
        ("without iat", ours(iat=None)),
        ("without user", ours(sub="")),
        ("exp no integer", ours(exp=NOW + 9.5)),
        ("path no text", ours(path=["/x"])),
        ("login no text", ours(sid=7)),
    ]


def encoded_hs256(kid: dict[str, str], secret: bytes) -> str:
    """PyJWT itself refuses to sign with a PEM; an attacker would not."""
    import hashlib
    import hmac

    signed = encoded({"alg": "HS256", "typ": "JWT", **kid}, CLAIMS).rstrip(".")
    digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def test_forged_expired_and_unsigned_tokens_are_refused(tokens: Tokens, keys: KeySet) -> None:
    """A key's own algorithm and nothing else; the header counts for nothing but the choice of the key."""
    accepted = []
    for name, text in forgeries(keys):
        try:
            tokens.check(text, "access")
        except AuthenticationError:
            continue
        accepted.append(name)
    assert accepted == []
    assert tokens.check(jwt.encode(CLAIMS, FORMER, "HS256"), "access").user == "ada"  # the fixture can tell


def test_admin_is_exactly_true(tokens: Tokens, keys: KeySet) -> None:
    """A truthy claim is not enough."""
    text = jwt.encode({**CLAIMS, "adm": 1}, keys.signer, "EdDSA", headers={"kid": keys.current.kid})
    assert tokens.check(text, "access").is_admin is False
