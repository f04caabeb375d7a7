"""Make changes once more that were never uploaded, on a state that they were not made on.

What still makes sense is kept, the rest is left out: changes of objects that the server deleted, elements
of lists that have become shorter. List positions are moved to where the list ends; what was appended stays
at the end.

Source: spec features.md §3.9 (recovery rules), flx.md §5.6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hinterland.changeset.decoder import decode
from hinterland.changeset.instructions import (
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Changeset,
    Instruction,
    Update,
)
from hinterland.errors import BadChangesetError
from hinterland.store.applier import apply
from hinterland.store.places import ListElement, TreeEntry, resolve
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction

__all__ = ["replay"]


def replay(transaction: WriteTransaction, changesets: Iterable[bytes]) -> list[Changeset]:
    """Apply local changesets as far as they fit; return what was applied of each."""
    return [_replay(transaction, decode(data)) for data in changesets]


def _replay(transaction: WriteTransaction, changeset: Changeset) -> Changeset:
    try:
        with transaction.savepoint():
            apply(transaction, changeset)
    except BadChangesetError:
        return Changeset(_replay_singly(transaction, changeset))
    return changeset


def _replay_singly(transaction: WriteTransaction, changeset: Changeset) -> list[Instruction]:
    done: list[Instruction] = []
    for instruction in changeset.instructions:
        fitting = _fit(transaction.store, instruction)
        if fitting is None:
            continue
        try:
            with transaction.savepoint():
                apply(transaction, Changeset([fitting]))
        except BadChangesetError:
            continue  # what it speaks of is gone on the server: deletes win
        done.append(fitting)
    return done


def _fit(store: Store, instruction: Instruction) -> Instruction | None:
    """Return the instruction with its list position fitted to the list as it is now; None if it has no place."""
    if not isinstance(instruction, (ArrayInsert, ArrayMove, ArrayErase, Update)) or not instruction.path:
        return instruction
    index = instruction.path[-1]
    if not isinstance(index, int):
        return instruction
    size = _list_size(store, instruction)
    if size is None:
        return None
    if isinstance(instruction, ArrayInsert):
        is_appended = index == instruction.prior_size  # then it comes after what others have appended
        path = [*instruction.path[:-1], size if is_appended else min(index, size)]
        return replace(instruction, path=path, prior_size=size)
    if index >= size:
        return None
    if isinstance(instruction, ArrayMove):
        return replace(instruction, to=min(instruction.to, size - 1), prior_size=size)
    return replace(instruction, prior_size=size)


def _list_size(store: Store, instruction: ArrayInsert | ArrayMove | ArrayErase | Update) -> int | None:
    table = store.tables.get(instruction.class_name)
    row = None if table is None else table.find(instruction.key)
    if table is None or row is None:
        return None
    place = resolve(table, row, instruction.field, instruction.path)
    if isinstance(place, ListElement):
        return place.size()
    return place.size() if isinstance(place, TreeEntry) and not place.is_dictionary else None
