"""Make changes once more that were never uploaded, on a state that they were not made on.

What still makes sense is kept, the rest is left out: changes inside of objects that the server deleted, links that
would lead nowhere. A list whose elements were changed, moved or removed by positions that mean nothing any more
becomes what it was here.

Source: spec features.md §3.9 (recovery rules), flx.md §5.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from hinterland.changeset.decoder import decode
from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Changeset,
    Clear,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
    PathInstruction,
    SetErase,
    SetInsert,
    Step,
    Update,
)
from hinterland.errors import BadChangesetError
from hinterland.store.applier import apply
from hinterland.store.contents import list_instructions
from hinterland.store.places import DictionaryEntry, ListElement, Place, SingleValue, TreeEntry, resolve
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction
from hinterland.sync.tracked_list import ListBook, TrackedList
from hinterland.values import Key, Link, Payload, Special

__all__ = ["replay"]

ObjectName: TypeAlias = tuple[str, Key]
Steps: TypeAlias = tuple[Step, ...]
ElementInstruction: TypeAlias = ArrayInsert | ArrayMove | ArrayErase | Update

_ELEMENT_TYPES: Final = (ArrayInsert, ArrayMove, ArrayErase, Update)


def replay(transaction: WriteTransaction, changesets: Iterable[bytes], local: Store) -> list[Changeset]:
    """Apply local changesets as far as they fit; return what was applied of each.

    Args:
        transaction: Where to; it has the server's state.
        changesets: All that were not uploaded, in their order.
        local: The realm as it was, with all these changes.

    Raises:
        BadChangesetError: One of them changes classes in a way that the server's do not allow.
    """
    recovery = _Recovery(transaction)
    for data in changesets:
        recovery.start()
        for instruction in decode(data).instructions:
            recovery.make(instruction)
        recovery.finish()
    recovery.copy_lists(local)
    return [Changeset(done) for done in recovery.done]


@dataclass(slots=True)
class _Spot:
    """What an instruction speaks of: the path there, and the book in which its lists are, by `steps`."""

    book: ListBook
    steps: Steps
    path: list[Step]


class _Recovery:
    """The state of one `replay`.

    Attributes:
        done: What was applied of each changeset so far.
    """

    def __init__(self, transaction: WriteTransaction) -> None:
        self._transaction = transaction
        self._store = transaction.store
        self._books: dict[ObjectName, ListBook] = {}
        self._copies: dict[tuple[ObjectName, Steps], int] = {}  # lists to copy: the last changeset that changes each
        self._waiting: list[Instruction] = []  # what needs no look at the state is applied together
        self.done: list[list[Instruction]] = []
        self._rules: dict[type, Callable[[Any], None]] = {
            AddTable: self._change_schema,
            AddColumn: self._change_schema,
            EraseTable: self._refuse,
            EraseColumn: self._refuse,
            EraseObject: self._erase_object,
            Update: self._update,
            AddInteger: self._add_integer,
            ArrayInsert: self._insert,
            ArrayMove: self._move,
            ArrayErase: self._erase,
            Clear: self._clear,
            SetInsert: self._change_set,
            SetErase: self._change_set,
        }

    def start(self) -> None:
        """Begin with the next changeset."""
        self.done.append([])

    def make(self, instruction: Instruction) -> None:
        """Apply an instruction of the current changeset by its rule."""
        if isinstance(instruction, (Update, Clear)) and (self._books or self._copies):
            self._forget_replaced(instruction)
        if _is_stateless(instruction):
            self._waiting.append(instruction)
        else:
            self.finish()
            self._rules[type(instruction)](instruction)

    def finish(self) -> None:
        """Apply what waits: all at once, or, if something does not fit, each by itself."""
        if not self._waiting:
            return
        waiting = self._waiting.copy()
        self._waiting.clear()
        if not self._try(*waiting):
            for one in waiting:
                self._try(one)

    def copy_lists(self, local: Store) -> None:
        """Make the lists that could not be followed what they are in the `local` state, each once.

        That counts as part of the last changeset that changed the list: all that it links to exists by then.
        """
        copies, self._copies = self._copies, {}
        for (name, steps), number in copies.items():
            field, *path = steps
            assert isinstance(field, str)
            ours = list_instructions(local, *name, field, path)
            theirs = list_instructions(self._store, *name, field, path)
            if ours is None or theirs is None or ours == theirs:
                continue
            before, self.done = self.done, [[]]
            for one in ours:
                self.make(one)
            self.finish()
            before[number] += self.done[0]
            self.done = before

    # -- rules -----------------------------------------------------------------------------------

    def _change_schema(self, it: AddTable | AddColumn) -> None:
        apply(self._transaction, Changeset([it]))
        self.done[-1].append(it)

    def _refuse(self, it: EraseTable | EraseColumn) -> None:
        what = f"class {it.class_name}" if isinstance(it, EraseTable) else f"property {it.class_name}.{it.field}"
        raise BadChangesetError(
            f"{what}: its removal cannot be made again on the server's state; choose discard_local or manual"
        )

    def _erase_object(self, it: EraseObject) -> None:
        name = (it.class_name, it.key)
        self._books.pop(name, None)
        for copied in [one for one in self._copies if one[0] == name]:
            del self._copies[copied]
        if self._row(it.class_name, it.key) is not None:
            self._try(it)

    def _update(self, it: Update) -> None:
        if it.path and isinstance(it.path[-1], int):
            self._update_element(it)
            return
        spot = self._follow(it)
        if spot is None:
            return
        _forget(spot.book, spot.steps, it.value)
        place = self._place(it, spot.path)
        if it.value is Special.ERASED and not (isinstance(place, (DictionaryEntry, TreeEntry)) and place.is_present()):
            return
        value = None if self._is_lost(it.value) else it.value
        self._try(replace(it, path=spot.path, value=value))

    def _update_element(self, it: Update) -> None:
        spot = self._follow(it)
        tracked = None if spot is None else self._list(it, spot)
        if spot is None or tracked is None:
            return
        element = tracked.at(_index(it))
        if element is None:
            self._queue(it)
            return
        _forget(element.book, (), it.value)
        position = tracked.position(element)
        if position is not None and not self._is_lost(it.value):
            self._try(replace(it, path=[*spot.path, position], prior_size=len(tracked.there)))

    def _add_integer(self, it: AddInteger) -> None:
        spot = self._follow(it)
        place = None if spot is None else self._place(it, spot.path)
        if spot is not None and isinstance(place, SingleValue) and type(place.get()) is int:
            self._try(replace(it, path=spot.path))

    def _insert(self, it: ArrayInsert) -> None:
        spot = self._follow(it)
        tracked = None if spot is None else self._list(it, spot)
        if spot is None or tracked is None:
            return
        index = min(_index(it), len(tracked.here))
        position = tracked.place(index)
        fitted = replace(it, path=[*spot.path, position], prior_size=len(tracked.there))
        is_made = not self._is_lost(it.value) and self._try(fitted)
        tracked.insert(index, position if is_made else None)

    def _move(self, it: ArrayMove) -> None:
        spot = self._follow(it)
        tracked = None if spot is None else self._list(it, spot)
        if spot is None or tracked is None:
            return
        if tracked.at(_index(it)) is None or tracked.at(it.to) is None:
            self._queue(it)
            return
        size = len(tracked.there)
        moved = tracked.move(_index(it), it.to)
        if moved is not None:
            self._try(replace(it, path=[*spot.path, moved[0]], to=moved[1], prior_size=size))

    def _erase(self, it: ArrayErase) -> None:
        spot = self._follow(it)
        tracked = None if spot is None else self._list(it, spot)
        if spot is None or tracked is None:
            return
        element = tracked.at(_index(it))
        if element is None:
            self._queue(it)
            return
        position, size = tracked.position(element), len(tracked.there)
        tracked.erase(_index(it))
        if position is not None:
            self._try(replace(it, path=[*spot.path, position], prior_size=size))

    def _clear(self, it: Clear) -> None:
        spot = self._follow(it)
        if spot is not None:
            _forget(spot.book, spot.steps, None)
            self._try(replace(it, path=spot.path))

    def _change_set(self, it: SetInsert | SetErase) -> None:
        spot = self._follow(it)
        if spot is not None and (isinstance(it, SetErase) or not self._is_lost(it.value)):
            self._try(replace(it, path=spot.path))

    # -- lists -----------------------------------------------------------------------------------

    def _follow(self, it: PathInstruction) -> _Spot | None:
        """Return what the instruction speaks of, with the path that leads there in the server's state.

        None if that is nowhere, or inside of an element of an old list, which then is to be copied.
        """
        name = (it.class_name, it.key)
        if self._row(*name) is None:
            return None
        if self._copies and (name, _outermost(it)) in self._copies and any(isinstance(step, int) for step in it.path):
            self._queue(it)
            return None
        book = self._books.setdefault(name, {})
        steps: Steps = (it.field,)
        path: list[Step] = []
        inner = it.path[:-1] if isinstance(it, _ELEMENT_TYPES) and it.path and isinstance(it.path[-1], int) else it.path
        for step in inner:
            if isinstance(step, str):
                steps = (*steps, step)
                path.append(step)
                continue
            tracked = book.get(steps)
            element = None if tracked is None else tracked.at(step)
            if tracked is None or element is None:
                self._queue(it)
                return None
            position = tracked.position(element)
            if position is None:
                return None  # the element could not be inserted
            book, steps = element.book, ()
            path.append(position)
        return _Spot(book, steps, path)

    def _list(self, it: ElementInstruction, spot: _Spot) -> TrackedList | None:
        """Return the list of which the instruction changes an element; None if there is none in the server's state."""
        place = self._place(it, [*spot.path, 0])
        if not isinstance(place, ListElement) and not (isinstance(place, TreeEntry) and not place.is_dictionary):
            return None
        size = place.size()
        tracked = spot.book.get(spot.steps)
        size_here = it.prior_size or 0
        if tracked is None or (len(tracked.here), len(tracked.there)) != (size_here, size):
            # Also when a download changed the list between two local changes: who knows what it moved.
            tracked = spot.book[spot.steps] = TrackedList(size_here, size)
        return tracked

    def _queue(self, it: PathInstruction) -> None:
        """Have the outermost list on the path copied."""
        self._copies[(it.class_name, it.key), _outermost(it)] = len(self.done) - 1

    def _forget_replaced(self, it: Update | Clear) -> None:
        """Begin anew with lists in a place that gets a new value: what follows was done to this value."""
        if any(isinstance(step, int) for step in it.path):
            return
        name, steps = (it.class_name, it.key), (it.field, *it.path)
        value = it.value if isinstance(it, Update) else None
        _forget(self._books.get(name, {}), steps, value)
        for one in [one for one in self._copies if one[0] == name and _is_replaced(one[1], steps, value)]:
            del self._copies[one]

    # -- state -----------------------------------------------------------------------------------

    def _row(self, class_name: str, key: Key) -> int | None:
        table = self._store.tables.get(class_name)
        return None if table is None else table.find(key)

    def _place(self, it: PathInstruction, path: list[Step]) -> Place | None:
        row = self._row(it.class_name, it.key)
        place = None if row is None else resolve(self._store.tables[it.class_name], row, it.field, path)
        return None if isinstance(place, str) else place

    def _is_lost(self, value: Payload) -> bool:
        """Return whether it is a link to an object that does not exist."""
        return isinstance(value, Link) and self._row(value.class_name, value.key) is None

    def _try(self, *instructions: Instruction) -> bool:
        """Apply instructions, all or none; return whether they fitted."""
        try:
            with self._transaction.savepoint():
                apply(self._transaction, Changeset(list(instructions)))
        except BadChangesetError:
            return False  # what they speak of is gone on the server: deletes win
        self.done[-1] += instructions
        return True


def _is_stateless(it: Instruction) -> bool:
    """Return whether its rule needs no look at the state: it fits, or the applier says that it does not."""
    if isinstance(it, CreateObject):
        return True
    if not isinstance(it, (Update, Clear, SetInsert, SetErase)) or any(isinstance(step, int) for step in it.path):
        return False
    return isinstance(it, Clear) or not (isinstance(it.value, Link) or it.value is Special.ERASED)


def _index(it: ElementInstruction) -> int:
    index = it.path[-1]
    assert isinstance(index, int)
    return index


def _outermost(it: PathInstruction) -> Steps:
    """Return the field and keys before the first position on the path."""
    first = next((at for at, step in enumerate(it.path) if isinstance(step, int)), len(it.path))
    return (it.field, *it.path[:first])


def _is_replaced(steps: Steps, by: Steps, value: Payload) -> bool:
    """Return whether the list at `steps` ends when a value is put at `by`.

    Making a collection, or embedded object, leaves one of this kind as it is (merge.md §2.3 Update).
    """
    if steps[: len(by)] != by:
        return False
    if value is Special.OBJECT_VALUE:
        return False
    if value is Special.LIST:
        return len(steps) > len(by)
    return value is not Special.DICTIONARY or len(steps) == len(by)


def _forget(book: ListBook, steps: Steps, value: Payload) -> None:
    for one in [one for one in book if _is_replaced(one, steps, value)]:
        del book[one]
