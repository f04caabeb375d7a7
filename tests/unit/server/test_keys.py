"""Signing keys: made, rotated, retired, taken over from the first version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hinterland.errors import AuthenticationError, ConfigurationError
from hinterland.server.keys import KeySet
from hinterland.server.tokens import Tokens

NOW_S = 1_700_000_000
RETIRED_TTL_S = 1000


class Clock:
    """A clock that the test turns."""

    now_s = float(NOW_S)

    def __call__(self) -> float:
        return self.now_s


def key_set(folder: Path, clock: Clock | None = None) -> KeySet:
    return KeySet(folder, retired_ttl_s=RETIRED_TTL_S, clock=clock or Clock())


def test_a_new_folder_gets_one_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    """The same key is found the next time; its file has mode 0600."""
    first = key_set(tmp_path).current
    assert key_set(tmp_path).all == [first]
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert first.secret.hex() not in repr(first)


def test_rotation_keeps_the_old_key_valid_for_a_while(tmp_path: Path) -> None:
    """Tokens of the old key are accepted until it has been retired for as long as a login lasts."""
    clock = Clock()
    keys = key_set(tmp_path, clock)
    tokens = Tokens(keys, clock)
    old = tokens.issue("access", "ada", ttl_s=10_000).text
    new = keys.rotate()
    assert keys.current == new
    assert tokens.issue("access", "ada", ttl_s=60).principal.key == new.kid
    clock.now_s += RETIRED_TTL_S - 1
    assert tokens.check(old, "access").user == "ada"
    clock.now_s += 1
    with pytest.raises(AuthenticationError):
        tokens.check(old, "access")
    keys.rotate()
    assert len(list(tmp_path.iterdir())) == 2  # what is accepted no longer is swept away


def test_dropped_keys_are_refused_at_once(tmp_path: Path) -> None:
    """After a theft nothing that was signed before counts."""
    keys = key_set(tmp_path)
    tokens = Tokens(keys, Clock())
    old = tokens.issue("access", "ada", ttl_s=60).text
    keys.rotate(drops_old=True)
    with pytest.raises(AuthenticationError):
        tokens.check(old, "access")


def test_another_process_is_believed(tmp_path: Path) -> None:
    """Tokens signed with a key that another process has just made are accepted without being told."""
    clock = Clock()
    server, command = key_set(tmp_path, clock), key_set(tmp_path, clock)
    command.rotate()
    token = Tokens(command, clock).issue("access", "ada", ttl_s=60)
    assert Tokens(server, clock).check(token.text, "access").user == "ada"
    assert server.current == command.current


def test_the_secret_of_the_first_version_goes_on(tmp_path: Path) -> None:
    """Tokens without key id are checked with it, by HS256 alone, until the keys are rotated."""
    import jwt

    secret = bytes(range(32))
    (tmp_path / "signing.key").write_text(secret.hex())
    clock = Clock()
    claims = {"iss": "hinterland", "sub": "ada", "typ": "access", "iat": NOW_S, "exp": NOW_S + 100_000}
    former = jwt.encode(claims, secret, "HS256")
    keys = key_set(tmp_path, clock)
    tokens = Tokens(keys, clock)
    assert tokens.check(former, "access").user == "ada"
    assert keys.current.algorithm == "EdDSA"
    assert not (tmp_path / "signing.key").exists()
    assert Tokens(key_set(tmp_path, clock), clock).check(former, "access").user == "ada"
    keys.rotate()
    clock.now_s += RETIRED_TTL_S
    with pytest.raises(AuthenticationError):
        tokens.check(former, "access")


def test_public_keys_are_published_and_nothing_else(tmp_path: Path) -> None:
    """The JWKS lets others check tokens; it holds no secret, and no symmetric key."""
    import jwt

    (tmp_path / "signing.key").write_text(bytes(range(32)).hex())
    keys = key_set(tmp_path)
    keys.rotate()
    published = keys.jwks()
    assert {key["kid"] for key in published["keys"]} == {key.kid for key in keys.all if key.algorithm == "EdDSA"}
    text = json.dumps(published)
    assert all(key.secret.hex() not in text for key in keys.all)
    assert all(set(key) == {"kty", "crv", "x", "kid", "alg", "use"} for key in published["keys"])
    token = Tokens(keys, Clock()).issue("access", "ada", ttl_s=60).text
    key = jwt.PyJWKSet.from_dict(published)[keys.current.kid]
    claims = jwt.decode(token, key, algorithms=["EdDSA"], options={"verify_exp": False, "verify_iat": False})
    assert claims["sub"] == "ada"


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"kid":"x","algorithm":"none","created_s":1,"retired_s":null,"secret":"00"}']
)
def test_a_damaged_key_file_is_named(tmp_path: Path, content: str) -> None:
    """A file that is not a key stops the server, rather than being passed over."""
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"x\.json"):
        key_set(tmp_path)
