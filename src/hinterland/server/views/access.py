"""What views must be told about who may see and write what, and the answer where everybody may everything.

Source: spec flx.md §2.6, §3.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from hinterland.changeset.instructions import Changeset, Instruction
from hinterland.permissions.upload import ObjectName
from hinterland.server.views.reads import Reads
from hinterland.store.store import Store

__all__ = [
    "NOTHING",
    "NOTHING_HIDDEN",
    "Access",
    "Asked",
    "OpenAccess",
    "asked_by",
    "describe_hidden",
    "hidden_of",
    "join_hidden",
]

NOTHING: Final = "FALSEPREDICATE"
"""The condition that no object meets."""

NOTHING_HIDDEN: Final = ""


class Asked(NamedTuple):
    """The properties that a client's query speaks of, as class and name; `is_known` unless it may be any."""

    properties: frozenset[tuple[str, str]]
    is_known: bool


def asked_by(class_name: str, reads: Reads) -> Asked:
    """Return what a query on a class asks for."""
    others = {(read.class_name, read.field) for read in reads.others if read.field is not None}
    classes = {(read.class_name, "") for read in reads.others}
    own = {(class_name, name) for name in reads.own}
    return Asked(frozenset(own | others | classes), not reads.is_volatile)


class Access(Protocol):
    """Who may see and write what in one realm, by how it is in the present transaction."""

    def problem(self, user: str) -> str:
        """Return why a user cannot be served at all; empty if nothing is wrong."""

    def is_open(self, user: str) -> bool:
        """Return whether a user may see and write everything."""

    def read_filter(self, user: str, class_name: str) -> str:
        """Return the condition that objects must meet for a user to see them; empty for none."""

    def query_refusal(self, user: str, class_name: str, asked: Asked) -> str | None:
        """Return why a user may not ask a query, None if that is allowed."""

    def hidden(self, user: str, class_name: str) -> frozenset[str]:
        """Return the properties of a class that a user never gets to see."""

    def before(self, store: Store, user: str, changeset: Changeset) -> Mapping[ObjectName, str]:
        """Judge a changeset by how things are before it is applied: the objects whose changes are refused, and why.

        An empty reason drops them in silence.
        """

    def after(self, store: Store, user: str, changeset: Changeset) -> Mapping[ObjectName, str]:
        """Judge by how they are with it; it is undone if anything is refused, and tried without that."""

    def applied(self, changeset: Changeset) -> object:
        """Note what was applied, by whomever."""

    def begin(self) -> None:
        """Note that a transaction begins: what was applied until now stands."""

    def undo(self) -> None:
        """Note that the transaction, or a part of it, was rolled back."""

    def forget(self, user: str | None = None) -> None:
        """Throw decisions away: about a user of whom something else is known now, or all."""

    def take_changes(self) -> Collection[str] | None:
        """Return those for whom other decisions may have come since the last call; None for everybody."""

    def foundation(self) -> list[Instruction]:
        """Return what gives the realm the classes in which permissions are kept."""

    def enrolments(self, users: Iterable[str]) -> list[Instruction]:
        """Return what makes users known to a realm that has permissions."""


class OpenAccess:
    """Everybody may see and write everything."""

    def problem(self, user: str) -> str:
        """See `Access`."""
        return ""

    def is_open(self, user: str) -> bool:
        """See `Access`."""
        return True

    def read_filter(self, user: str, class_name: str) -> str:
        """See `Access`."""
        return ""

    def query_refusal(self, user: str, class_name: str, asked: Asked) -> str | None:
        """See `Access`."""
        return None

    def hidden(self, user: str, class_name: str) -> frozenset[str]:
        """See `Access`."""
        return frozenset()

    def before(self, store: Store, user: str, changeset: Changeset) -> Mapping[ObjectName, str]:
        """See `Access`."""
        return {}

    def after(self, store: Store, user: str, changeset: Changeset) -> Mapping[ObjectName, str]:
        """See `Access`."""
        return {}

    def applied(self, changeset: Changeset) -> object:
        """See `Access`."""
        return None

    def begin(self) -> None:
        """See `Access`."""

    def undo(self) -> None:
        """See `Access`."""

    def forget(self, user: str | None = None) -> None:
        """See `Access`."""

    def take_changes(self) -> Collection[str] | None:
        """See `Access`."""
        return ()

    def foundation(self) -> list[Instruction]:
        """See `Access`."""
        return []

    def enrolments(self, users: Iterable[str]) -> list[Instruction]:
        """See `Access`."""
        return []


# -- hidden properties, as they are stored with what a client was told ------------------------------

_NONE: Final[frozenset[str]] = frozenset()


def describe_hidden(hidden: Mapping[str, Collection[str]]) -> str:
    """Return the text by which hidden properties of classes are stored; empty if there are none."""
    content = {name: sorted(fields) for name, fields in sorted(hidden.items()) if fields}
    return json.dumps(content, separators=(",", ":")) if content else NOTHING_HIDDEN


@lru_cache(maxsize=1_000)
def _parse_hidden(text: str) -> dict[str, frozenset[str]]:
    return {name: frozenset(fields) for name, fields in json.loads(text).items()} if text else {}


def hidden_of(text: str) -> Callable[[str], frozenset[str]]:
    """Return what gives the hidden properties of a class."""
    found = _parse_hidden(text)
    return lambda class_name: found.get(class_name, _NONE)


def join_hidden(*texts: str) -> str:
    """Return what is hidden by any of some texts."""
    found: dict[str, frozenset[str]] = {}
    for text in set(texts) - {NOTHING_HIDDEN}:
        for name, fields in _parse_hidden(text).items():
            found[name] = found.get(name, _NONE) | fields
    return describe_hidden(found)
