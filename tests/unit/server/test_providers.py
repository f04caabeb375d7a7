"""Providers that believe tokens of others: what they accept, and above all what not."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import RSAKey
from tests.integration.oidc_issuer import Issuer

from hinterland.errors import AuthenticationError, ConfigurationError, ConnectionFailedError
from hinterland.server import providers
from hinterland.server.providers import Claims, LoginRequest, Verified
from hinterland.server.providers.issuer_keys import KEYS_TTL_S, RETRY_INTERVAL_S, STALE_TTL_S, IssuerKeys

RSA = RSAKey.generate_key(2048)
PEM = RSA.as_pem(private=False).decode()
SECRET = "a shared secret that is long enough"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


def verify(provider: providers.ExternalProvider, data: str) -> Verified:
    return asyncio.run(provider.verify(LoginRequest(data)))


def refusal(provider: providers.ExternalProvider, data: str) -> str:
    with pytest.raises(AuthenticationError) as found:
        verify(provider, data)
    return str(found.value)


def openid(issuer: Issuer, **options: object) -> providers.OpenID:
    return providers.OpenID(issuer.url, "my-app", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_token_of_the_issuer_names_its_account(issuer: Issuer, algorithm: str) -> None:
    """Discovery, key set, signature, claims; by each algorithm that is pinned."""
    issuer.rotate("RS256", "ES256", "EdDSA")
    kid = next(kid for kid in issuer.keys if kid.startswith(algorithm))
    provider = openid(issuer, claims=Claims(admin="boss", metadata={"mail": "email", "name": "name"}))
    token = issuer.token(kid, boss=True, email="a@x.org", email_verified=True, name="Ada")
    assert verify(provider, token) == Verified("ada", True, None, {"mail": "a@x.org", "name": "Ada"})
    assert issuer.requests == ["/.well-known/openid-configuration", "/keys"]


def unsigned(header: object, claims: object, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def signed_by_public_key(issuer: Issuer) -> str:
    """The classic confusion: the public key, which anybody has, as secret of an HMAC."""
    pem = issuer.keys[issuer.kid].as_pem(private=False)
    header, claims, _ = unsigned({"alg": "HS256", "kid": issuer.kid, "typ": "JWT"}, issuer.claims()).split(".")
    return f"{header}.{claims}." + base64.urlsafe_b64encode(
        jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(f"{header}.{claims}".encode(), pem)
    ).decode().rstrip("=")


NOW = time.time

ATTACKS: dict[str, Callable[[Issuer], str]] = {
    "alg none": lambda i: unsigned({"alg": "none", "kid": i.kid}, i.claims()),
    "alg None": lambda i: unsigned({"alg": "None", "kid": i.kid}, i.claims(), b"x"),
    "alg absent": lambda i: unsigned({"kid": i.kid}, i.claims(), b"x"),
    "HS for RS": signed_by_public_key,
    "another algorithm of the same key": lambda i: i.token(header={"alg": "PS256"}),
    "foreign key under our kid": lambda i: Issuer().token(header={"kid": i.kid}, iss=i.url),
    "foreign kid": lambda i: Issuer().token(header={"kid": "mine"}, iss=i.url),
    "kid with a path": lambda i: i.token(header={"kid": "../../keys/mine"}),
    "kid is no text": lambda i: unsigned({"alg": "RS256", "kid": {"a": 1}}, i.claims(), b"x"),
    "key in the header": lambda i: Issuer().token(header={"jwk": RSA.as_dict(private=False), "kid": None}, iss=i.url),
    "expired": lambda i: i.token(exp=int(NOW()) - 120),
    "without expiry": lambda i: i.token(exp=None),
    "expiry is text": lambda i: i.token(exp="2099"),
    "expiry is true": lambda i: i.token(exp=True),
    "expiry is not a number": lambda i: i.token(exp=float("nan")),
    "not valid yet": lambda i: i.token(nbf=int(NOW()) + 120),
    "issued in the future": lambda i: i.token(iat=int(NOW()) + 120),
    "for another app": lambda i: i.token(aud="another-app"),
    "for several other apps": lambda i: i.token(aud=["a", "b"]),
    "for nobody": lambda i: i.token(aud=None),
    "of another issuer": lambda i: i.token(iss="https://accounts.example.org"),
    "of an issuer that looks alike": lambda i: i.token(iss=i.url + "/"),
    "of nobody": lambda i: i.token(iss=None),
    "without subject": lambda i: i.token(sub=None),
    "with an empty subject": lambda i: i.token(sub=""),
    "with a number as subject": lambda i: i.token(sub=7),
    "cut off": lambda i: i.token()[:-6],
    "changed": lambda i: i.token().replace(".", ".e", 1),
    "empty": lambda i: "",
    "dots": lambda i: "..",
    "not ASCII": lambda i: "ä.ö.ü",
    "huge": lambda i: i.token(note="x" * 20_000),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_not_a_token_of_the_issuer_is_refused(issuer: Issuer, name: str) -> None:
    """Whatever a token's header says about algorithms, keys and places counts for nothing."""
    provider = openid(issuer)
    refusal(provider, ATTACKS[name](issuer))
    assert set(issuer.requests) <= {"/.well-known/openid-configuration", "/keys"}
    assert verify(provider, issuer.token()).account == "ada"


@pytest.mark.parametrize("header", ["jku", "x5u"])
def test_no_url_of_a_token_is_ever_fetched(issuer: Issuer, header: str) -> None:
    """A key set of the attacker's, named in the header, is not even asked for."""
    with Issuer() as attacker:
        token = attacker.token(header={header: attacker.url + "/keys", "kid": attacker.kid + "x"}, iss=issuer.url)
        refusal(openid(issuer), token)
        assert attacker.requests == []


def test_an_issuer_may_not_send_us_elsewhere(issuer: Issuer) -> None:
    """A discovery document of somebody else's, or a key set in the clear, is refused."""
    for discovery in (
        {"issuer": "https://evil.example"},
        {"jwks_uri": "http://192.0.2.1/keys"},
        {"jwks_uri": "file:///etc"},
    ):
        issuer.discovery = dict(discovery)
        with pytest.raises(ConnectionFailedError):
            verify(openid(issuer), issuer.token())


class Clock:
    """Says what it is told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def has_key(keys: IssuerKeys, kid: str) -> bool:
    try:
        asyncio.run(keys.key(kid, "RS256"))
    except AuthenticationError:
        return False
    return True


def test_a_rotated_key_is_found_and_a_withdrawn_one_forgotten(issuer: Issuer) -> None:
    """An unknown key id makes us ask again, but not more often than every ten seconds."""
    clock = Clock()
    keys = IssuerKeys(issuer=issuer.url, clock=clock)
    old = issuer.kid
    assert has_key(keys, old)
    issuer.rotate("RS256")
    assert not has_key(keys, issuer.kid)
    assert has_key(keys, old)
    assert len(issuer.requests) == 2
    clock.now_s += RETRY_INTERVAL_S
    assert has_key(keys, issuer.kid)
    assert not has_key(keys, old)
    asked = len(issuer.requests)
    for n in range(50):
        assert not has_key(keys, f"made-up-{n}")
    assert len(issuer.requests) == asked


def test_a_withdrawn_key_stops_working_without_a_new_one_being_seen(issuer: Issuer) -> None:
    """After five minutes keys are fetched again, whatever the tokens."""
    clock = Clock()
    keys = IssuerKeys(issuer=issuer.url, clock=clock)
    old = issuer.kid
    assert has_key(keys, old)
    issuer.rotate("RS256")
    clock.now_s += KEYS_TTL_S
    assert not has_key(keys, old)


def test_an_issuer_that_is_down_does_not_lock_everybody_out_at_once(issuer: Issuer) -> None:
    """Known keys serve for an hour; then logins wait for the issuer."""
    clock = Clock()
    keys = IssuerKeys(issuer=issuer.url, clock=clock)
    assert has_key(keys, issuer.kid)
    issuer.is_broken = True
    clock.now_s += KEYS_TTL_S
    assert has_key(keys, issuer.kid)
    clock.now_s += STALE_TTL_S
    with pytest.raises(ConnectionFailedError):
        has_key(keys, issuer.kid)


def test_many_logins_at_once_fetch_the_keys_once(issuer: Issuer) -> None:
    """And the event loop goes on meanwhile."""
    provider = openid(issuer)

    async def all_at_once() -> list[Verified]:
        return await asyncio.gather(*(provider.verify(LoginRequest(issuer.token())) for _ in range(20)))

    assert len(asyncio.run(all_at_once())) == 20
    assert len(issuer.requests) == 2


def test_a_token_without_key_id_needs_an_issuer_with_one_key(issuer: Issuer) -> None:
    """Nothing is tried out."""
    assert verify(openid(issuer), issuer.token(header={"kid": None})).account == "ada"
    issuer.rotate("RS256", keep=True)
    refusal(openid(issuer), issuer.token(header={"kid": None}))


CLAIMS = {"sub": "ada", "exp": 4_000_000_000}


def test_a_pem_key_accepts_its_own_kind_only() -> None:
    """RS256 by default; HMAC with the public key as secret is refused."""
    provider = providers.JWT(public_key=PEM)
    assert verify(provider, jwt.encode(CLAIMS, RSA.private_key, "RS256")).account == "ada"
    for algorithm in ("RS512", "PS256"):
        refusal(provider, jwt.encode(CLAIMS, RSA.private_key, algorithm))
    forged = jwt.api_jws.PyJWS()
    forged._algorithms["HS256"].prepare_key = lambda key: key  # type: ignore[method-assign] # the attacker's library does not object
    raw = RSA.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    refusal(provider, forged.encode(json.dumps(CLAIMS).encode(), raw, "HS256"))


def test_claims_are_mapped() -> None:
    """Account, identity, admin, metadata and required claims of one's own choice."""
    provider = providers.JWT(
        secret=SECRET,
        user_field="user",
        identity_field="id",
        admin_field="boss",
        metadata={"team": "team"},
        required={"plan": "paid", "beta": True},
    )
    claims = {**CLAIMS, "user": "u-1", "id": "ada_1", "boss": 1, "team": "blue", "plan": "paid", "beta": True}
    found = verify(provider, jwt.encode(claims, SECRET))
    assert found == Verified("u-1", False, "ada_1", {"team": "blue"})
    for change in (
        {"plan": "free"},
        {"beta": 1},
        {"id": "a/b"},
        {"id": ".."},
        {"id": "shared"},
        {"id": "__admin"},
        {"user": None},
    ):
        refusal(provider, jwt.encode({**claims, **change}, SECRET))


def test_an_unverified_address_is_not_remembered(issuer: Issuer) -> None:
    """Permissions can be granted to e-mail addresses, so anybody's claim to one will not do."""
    for verified in (None, False, "false", 1):
        assert verify(openid(issuer), issuer.token(email="boss@x.org", email_verified=verified)).metadata == {}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: providers.JWT(), "exactly one"),
        (lambda: providers.JWT(secret="x", public_key=PEM), "exactly one"),
        (lambda: providers.JWT(public_key="nonsense"), "PEM"),
        (lambda: providers.JWT(public_key=PEM, algorithms=["HS256"]), "does not fit"),
        (lambda: providers.JWT(public_key=PEM, algorithms=["ES256"]), "does not fit"),
        (lambda: providers.JWT(secret=SECRET, algorithms=["RS256"]), "does not fit"),
        (lambda: providers.JWT(secret=SECRET, algorithms=["none"]), "does not fit"),
        (lambda: providers.JWT(jwks_url="http://issuer.example/keys"), "https"),
        (lambda: providers.OpenID("http://issuer.example", "a"), "https"),
        (lambda: providers.OpenID("ftp://127.0.0.1", "a"), "https"),
        (lambda: providers.OpenID("https://issuer.example", ""), "audience"),
        (lambda: providers.OpenID("https://issuer.example", "a", algorithms=["none"]), "does not fit"),
        (lambda: providers.azure("common", "a"), "one tenant"),
        (lambda: providers.Password(confirm_email=True), "email"),
    ],
)
def test_unsafe_configurations_are_refused(make: Callable[[], object], message: str) -> None:
    """At start, not at the first login."""
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_presets_differ_in_name_and_pin_one_issuer_each() -> None:
    """So that all can be configured at once."""
    found = [
        providers.google("a"),
        providers.apple("a"),
        providers.azure("t-1", "a"),
        providers.cognito("eu-1", "p", "a"),
    ]
    assert len({one.name for one in found}) == len({one.issuer for one in found}) == 4
    assert all("HS256" not in one.algorithms for one in found)


def test_functions_of_the_operator_decide() -> None:
    """Plain or async; a name or all there is to say; raising refuses."""

    def plain(request: LoginRequest) -> str:
        if request.data != "sesame":
            raise AuthenticationError("no")
        return "ali"

    async def fancy(request: LoginRequest) -> Verified:
        return Verified("ali", identity=str(request.info["id"]))

    assert verify(providers.Function("cave", plain), "sesame") == Verified("ali")
    refusal(providers.Function("cave", plain), "barley")
    refusal(providers.Function("cave", lambda request: ""), "sesame")
    fancy_provider = providers.Function("fancy", fancy)
    assert asyncio.run(fancy_provider.verify(LoginRequest("", info={"id": "a1"}))).identity == "a1"
    with pytest.raises(AuthenticationError, match="identity"):
        asyncio.run(fancy_provider.verify(LoginRequest("", info={"id": "../x"})))


def test_a_provider_serves_one_server_after_another(issuer: Issuer) -> None:
    """Each with an event loop of its own, and many logins at once."""
    provider = openid(issuer)

    async def all_at_once() -> None:
        await asyncio.gather(*(provider.verify(LoginRequest(issuer.token())) for _ in range(5)))

    for _ in range(2):
        asyncio.run(all_at_once())
        provider._keys._fetched_at = provider._keys._tried_at = float("-inf")
