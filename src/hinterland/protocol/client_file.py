"""What the server has recorded about a client's file, and whether what the client claims agrees with it.

Source: spec wire.md §3, §4.2; merge.md §5.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hinterland.protocol.messages import FlexibleIdent, Ident

__all__ = ["ClientFile", "Cursor", "check_ident"]


class Cursor(NamedTuple):
    """A pair of client and server version; which one leads depends on the kind (wire.md §3)."""

    client_version: int
    server_version: int

    def agrees_with(self, other: Cursor) -> bool:
        """Return whether the two cursors can both be true of one file: neither order contradicts the other."""
        if self.client_version == other.client_version:
            return self.server_version == other.server_version
        if self.client_version < other.client_version:
            return self.server_version <= other.server_version
        return self.server_version >= other.server_version

    @property
    def is_possible(self) -> bool:
        """Return whether "nothing of the client" goes with "nothing of the server"."""
        return self.client_version != 0 or self.server_version == 0


@dataclass(frozen=True, slots=True)
class ClientFile:
    """What the server has recorded about a client's file, and about the realm, at IDENT."""

    ident: int
    salt: int
    user: str
    client_version: int
    base_version: int
    locked_version: int
    is_expired: bool
    current_version: int
    current_salt: int
    latest_salt: int | None
    """Salt of the version that the client called its latest; None when there is no such version."""


def check_ident(claim: Ident | FlexibleIdent, file: ClientFile | None, user: str) -> tuple[int, str] | None:
    """Return the error for what an IDENT claims, or None when all of it holds (merge.md §5.3, in its order)."""
    if file is None:
        return 208, f"this realm knows no file {claim.ident}"
    if claim.salt == 0 or claim.salt != file.salt:
        return 211, f"the salt of file {claim.ident} does not match"
    if user != file.user:
        return 223, f"file {claim.ident} was made by another user"
    if claim.download_server_version < file.base_version:
        return 209, f"download cursor {claim.download_server_version} is below {file.base_version}"
    if file.is_expired:
        return 222, f"file {claim.ident} has been away for too long"
    if claim.download_server_version > file.current_version:
        return 209, f"download cursor {claim.download_server_version} is beyond {file.current_version}"
    if claim.download_client_version > file.client_version:
        return 210, f"client version {claim.download_client_version} is beyond {file.client_version}"
    if claim.download_server_version == 0 and claim.download_client_version != 0:
        return 210, "a download cursor at server version 0 cannot include client versions"
    if not claim.download_server_version <= claim.latest_version <= file.current_version:
        return 209, f"latest version {claim.latest_version} does not exist or is below the download cursor"
    if claim.latest_salt != file.latest_salt:
        return 211, f"the salt of version {claim.latest_version} does not match: another history"
    return None
