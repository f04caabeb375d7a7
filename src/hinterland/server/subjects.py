"""From the server's users to those of whom permissions speak.

Source: spec flx.md §3.1 (custom data).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from contextlib import suppress

from hinterland.permissions.subject import Json, Subject
from hinterland.server.directory import Directory, User

__all__ = ["subject_of", "subjects"]

ROLES = "roles"


def subjects(directory: Directory, operators: Container[str] = ()) -> Callable[[str], Subject]:
    """Return what gives the subject of an identity.

    A user whom the directory does not know has no metadata, and is an admin if it is among the operators.
    """

    def find(identity: str) -> Subject:
        user = directory.users.get(identity)
        return Subject(identity, identity in operators) if user is None else subject_of(user)

    return find


def subject_of(user: User) -> Subject:
    """Return a user as permissions see it.

    Metadata are texts. One that is a JSON list, true or false counts as that, so that rules can say
    `ward IN $user.custom.wards`. The user's roles on the server are `$user.custom.roles`, whatever the metadata say.
    """
    custom: dict[str, Json] = {name: _value(text) for name, text in user.metadata.items()}
    custom[ROLES] = [*sorted(user.roles)]
    return Subject(user.identity, user.is_admin, custom)


def _value(text: str) -> Json:
    if text.startswith("[") or text in ("true", "false"):
        with suppress(ValueError, RecursionError):
            found: Json = json.loads(text)
            return found
    return text
