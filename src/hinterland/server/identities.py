"""Which identities users may have: they are the first segment of realm paths."""

from __future__ import annotations

import re
from typing import Final

from hinterland.errors import UsageError

__all__ = ["IllegalIdentityError", "check_identity"]

IDENTITY_CHARS_MAX: Final = 128
_RESERVED: Final = frozenset({"shared"})
_is_identity = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.@|:+=-]*").fullmatch


class IllegalIdentityError(UsageError):
    """No user may have that identity."""

    code = "HL-U013"


def check_identity(identity: str) -> None:
    """Let only those identities pass that are a path segment and stand for nothing else.

    Raises:
        IllegalIdentityError: It is malformed, or reserved.
    """
    if not _is_identity(identity) or len(identity) > IDENTITY_CHARS_MAX:
        raise IllegalIdentityError(
            f"{identity[:IDENTITY_CHARS_MAX]!r} is not an identity: 1 to {IDENTITY_CHARS_MAX} of A-Z a-z 0-9 _ - . @ | : + =, "
            "not starting with a dot or sign"
        )
    if identity.lower() in _RESERVED or identity.startswith("__"):
        raise IllegalIdentityError(f"the identity {identity!r} is reserved")
    if identity.lower().endswith((".realm", ".realm.lock", ".realm.management", ".hldb")):
        raise IllegalIdentityError(f"the identity {identity!r} ends like a realm file")
