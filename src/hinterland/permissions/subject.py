"""The user whose privileges are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Json", "Subject"]

Json = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


@dataclass(frozen=True, slots=True)
class Subject:
    """A user.

    `custom` are the user's metadata, `$user.custom.<name>` in rules. An admin may do everything.
    """

    identity: str
    is_admin: bool = False
    custom: Mapping[str, Json] = field(default_factory=dict)
