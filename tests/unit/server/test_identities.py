"""Which identities users may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from hinterland.server.directory import open_directory
from hinterland.server.identities import IllegalIdentityError, check_identity
from hinterland.server.paths import proper_path


@pytest.mark.parametrize("identity", ["ada", "0f" * 16, "a.b@c", "x|y:z", "-", "_x", "Shared2"])
def test_proper_identities_are_path_segments(identity: str) -> None:
    """Whoever has one can open `/~/x`."""
    check_identity(identity)
    assert proper_path("/~/x", identity) == f"/{identity}/x"


@pytest.mark.parametrize(
    "identity",
    [
        "",
        "shared",
        "SHARED",
        "__admin",
        "__x",
        "*",
        "~",
        ".",
        "..",
        "a/b",
        "a b",
        "/",
        "a\n",
        "é",
        "a" * 129,
        "x.realm",
    ],
)
def test_others_are_refused_wherever_they_come_from(identity: str, tmp_path: Path) -> None:
    """A provider cannot make its user the owner of everybody's realms, nor an operator."""
    with pytest.raises(IllegalIdentityError):
        check_identity(identity)
    directory = open_directory(tmp_path / "d.hldb", durable=False)
    with pytest.raises(IllegalIdentityError):
        directory.users.add(identity, "jwt", "x", now_s=0, is_admin=True)
    assert directory.users.count() == 0
    directory.close()
