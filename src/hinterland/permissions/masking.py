"""Leaving out of changesets what a user must not see of the objects that it sees.

What is inside a hidden property never reaches the user, so nothing there can be in conflict, and leaving it out
changes nothing about the merging of the rest.

Source: spec flx.md §3.1 (unreadable fields are not sent).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    Changeset,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
)

__all__ = ["masked"]

_NOT_ABOUT_VALUES: Final = (AddTable, EraseTable, AddColumn, EraseColumn, CreateObject, EraseObject)


def masked(changeset: Changeset, hidden_of: Callable[[str], frozenset[str]]) -> Changeset:
    """Return a changeset without the values of hidden properties; the same object if it has none.

    Args:
        changeset: What others did, or what an object is made of.
        hidden_of: Gives the hidden properties of a class.
    """
    kept = [one for one in changeset.instructions if not _is_hidden(one, hidden_of)]
    if len(kept) == len(changeset.instructions):
        return changeset
    return Changeset(kept)  # without the interned strings, of which some may be values that are left out


def _is_hidden(one: Instruction, hidden_of: Callable[[str], frozenset[str]]) -> bool:
    return not isinstance(one, _NOT_ABOUT_VALUES) and one.field in hidden_of(one.class_name)
