"""Rules for list instructions that address the same list.

Each keeps the invariant that an instruction's `prior_size` is the size of the list at the point
where the instruction will be executed. Pairs are named in the order of their codes, larger first,
as in the specification.

Source: spec merge.md §4.6 (R-I to R-EE) and §4.11 (Q2, Q21).
"""

from __future__ import annotations

from hinterland.changeset.instructions import (
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Clear,
    PathInstruction,
    Step,
    Update,
)
from hinterland.errors import TransformError
from hinterland.merge.outcome import (
    LEFT_CHANGED,
    LEFT_DISCARDED,
    NOTHING,
    RIGHT_CHANGED,
    RIGHT_DISCARDED,
)

__all__ = [
    "clear_erase",
    "clear_insert",
    "clear_move",
    "erase_erase",
    "erase_insert",
    "erase_move",
    "erase_update",
    "insert_insert",
    "insert_update",
    "move_insert",
    "move_move",
    "move_update",
    "moved",
]

_BOTH_CHANGED = LEFT_CHANGED | RIGHT_CHANGED


def moved(index: int, source: int, target: int) -> int:
    """Return where the element at `index` is after the one at `source` was moved to `target`."""
    if index == source:
        return target
    if index > source:
        index -= 1
    if index >= target:
        index += 1
    return index


def insert_insert(left: ArrayInsert, right: ArrayInsert, order: int) -> int:
    """R-II: on equal indices the earlier element ends up first."""
    if not _same_container(left.path, right.path):
        return NOTHING
    _check_sizes(left, left.prior_size, right, right.prior_size)
    a, b = _index(left), _index(right)
    left.prior_size += 1
    right.prior_size += 1
    if a < b or (a == b and order < 0):
        right.path[-1] = b + 1
    else:
        left.path[-1] = a + 1
    return _BOTH_CHANGED


def insert_update(insert: ArrayInsert, update: Update, order: int) -> int:
    """R-I: the updated element may have shifted up by one."""
    if not _same_container(insert.path, update.path):
        return NOTHING
    index, size = _updated_index(update)
    _check_sizes(insert, insert.prior_size, update, size)
    at = _index(insert)
    _check_index(insert, at, insert.prior_size + 1)
    _check_index(update, index, size)
    update.prior_size = size + 1
    if index >= at:
        update.path[-1] = index + 1
    return RIGHT_CHANGED


def move_update(move: ArrayMove, update: Update, order: int) -> int:
    """R-M: the update follows the element it addresses."""
    if not _same_container(move.path, update.path):
        return NOTHING
    index, size = _updated_index(update)
    source = _index(move)
    _check_index(move, source, move.prior_size)
    _check_index(update, index, size)
    return _follow_move(update, index, source, move.to)


def erase_update(erase: ArrayErase, update: Update, order: int) -> int:
    """R-E: the update of the erased element vanishes with it."""
    if not _same_container(erase.path, update.path):
        return NOTHING
    index, size = _updated_index(update)
    _check_sizes(erase, erase.prior_size, update, size)
    at = _index(erase)
    _check_index(erase, at, erase.prior_size)
    _check_index(update, index, size)
    if index == at:
        return RIGHT_DISCARDED
    update.prior_size = size - 1
    if index > at:
        update.path[-1] = index - 1
    return RIGHT_CHANGED


def move_insert(move: ArrayMove, insert: ArrayInsert, order: int) -> int:
    """R-MI: on a tie with the target, the earlier of the two ends up after the later one (Q14)."""
    if not _same_container(move.path, insert.path):
        return NOTHING
    source, target = _index(move), move.to
    at = old_at = _index(insert)
    move.prior_size += 1
    if at > source:
        at -= 1
    else:
        move.path[-1] = source + 1
    if at < target or (at == target and order < 0):
        move.to = target + 1
    else:
        at += 1
    if at == old_at:
        return LEFT_CHANGED
    insert.path[-1] = at
    return _BOTH_CHANGED


def erase_insert(erase: ArrayErase, insert: ArrayInsert, order: int) -> int:
    """R-EI: an element inserted at the erased index stays, before the erased one."""
    if not _same_container(erase.path, insert.path):
        return NOTHING
    _check_sizes(erase, erase.prior_size, insert, insert.prior_size)
    gone, at = _index(erase), _index(insert)
    _check_index(erase, gone, erase.prior_size)
    _check_index(insert, at, insert.prior_size + 1)
    erase.prior_size += 1
    insert.prior_size -= 1
    if at <= gone:
        erase.path[-1] = gone + 1
    else:
        insert.path[-1] = at - 1
    return _BOTH_CHANGED


def move_move(left: ArrayMove, right: ArrayMove, order: int) -> int:
    """R-MM: two moves of one element: the later wins and starts where the earlier put it."""
    if not _same_container(left.path, right.path):
        return NOTHING
    _check_sizes(left, left.prior_size, right, right.prior_size)
    a, b = _index(left), _index(right)
    for move, index in ((left, a), (right, b)):
        _check_index(move, index, move.prior_size)
        _check_index(move, move.to, move.prior_size)
    if a == b:
        return _move_same(left, right, order)
    return _move_different(left, right, a, b, order)


def _move_same(left: ArrayMove, right: ArrayMove, order: int) -> int:
    """Both move the same element."""
    if order < 0:
        right.path[-1] = left.to
        return LEFT_DISCARDED | (RIGHT_DISCARDED if left.to == right.to else RIGHT_CHANGED)
    left.path[-1] = right.to
    return RIGHT_DISCARDED | (LEFT_DISCARDED if left.to == right.to else LEFT_CHANGED)


def _move_different(left: ArrayMove, right: ArrayMove, a: int, b: int, order: int) -> int:
    """They move different elements: each is adjusted for the other, in the order of R-MM (1) to (5)."""
    old_left, old_right = (a, left.to), (b, right.to)
    left_to, right_to = left.to, right.to
    if a < b:
        b -= 1
    else:
        a -= 1
    if left_to > b:
        left_to -= 1
    else:
        b += 1
    if a < right_to:
        right_to -= 1
    else:
        a += 1
    if left_to < right_to or (left_to == right_to and order < 0):
        right_to += 1
    else:
        left_to += 1
    left.path[-1], left.to = a, left_to
    right.path[-1], right.to = b, right_to
    flags = LEFT_CHANGED if (a, left_to) != old_left else NOTHING
    if (b, right_to) != old_right:
        flags |= RIGHT_CHANGED
    if a == left_to:
        flags |= LEFT_DISCARDED
    if b == right_to:
        flags |= RIGHT_DISCARDED
    return flags


def erase_move(erase: ArrayErase, move: ArrayMove, order: int) -> int:
    """R-EM: the erase follows the moved element, and the move of an erased element vanishes."""
    if not _same_container(erase.path, move.path):
        return NOTHING
    _check_sizes(erase, erase.prior_size, move, move.prior_size)
    gone, source = _index(erase), _index(move)
    _check_index(erase, gone, erase.prior_size)
    _check_index(move, source, move.prior_size)
    if gone == source:
        erase.path[-1] = move.to
        return RIGHT_DISCARDED | (LEFT_CHANGED if move.to != gone else NOTHING)
    old_gone = gone
    move.prior_size -= 1
    if gone > source:
        gone -= 1
    else:
        source -= 1
    if gone >= move.to:
        gone += 1
    else:
        move.to -= 1
    move.path[-1] = source
    erase.path[-1] = gone
    flags = RIGHT_CHANGED if gone == old_gone else _BOTH_CHANGED
    return flags | RIGHT_DISCARDED if source == move.to else flags


def erase_erase(left: ArrayErase, right: ArrayErase, order: int) -> int:
    """R-EE: the same element is erased once."""
    if not _same_container(left.path, right.path):
        return NOTHING
    _check_sizes(left, left.prior_size, right, right.prior_size)
    a, b = _index(left), _index(right)
    _check_index(left, a, left.prior_size)
    _check_index(right, b, right.prior_size)
    if a == b:
        return LEFT_DISCARDED | RIGHT_DISCARDED
    left.prior_size -= 1
    right.prior_size -= 1
    if a > b:
        left.path[-1] = a - 1
    else:
        right.path[-1] = b - 1
    return _BOTH_CHANGED


def clear_insert(insert: ArrayInsert, clear: Clear, order: int) -> int:
    """Q2: the clear of a nested collection follows its element."""
    index = _cleared_index(insert.path, clear)
    if index is None or index < _index(insert):
        return NOTHING
    clear.path[-1] = index + 1
    return RIGHT_CHANGED


def clear_move(move: ArrayMove, clear: Clear, order: int) -> int:
    """Q2: the clear of a nested collection follows its element."""
    index = _cleared_index(move.path, clear)
    if index is None:
        return NOTHING
    return _follow_move(clear, index, _index(move), move.to)


def clear_erase(erase: ArrayErase, clear: Clear, order: int) -> int:
    """Q2: the clear of an erased nested collection vanishes; that of a later element shifts."""
    index = _cleared_index(erase.path, clear)
    if index is None:
        return NOTHING
    gone = _index(erase)
    if index == gone:
        return RIGHT_DISCARDED
    if index < gone:
        return NOTHING
    clear.path[-1] = index - 1
    return RIGHT_CHANGED


def _follow_move(instruction: Update | Clear, index: int, source: int, target: int) -> int:
    """Let the instruction at `index` follow its element; it is the right one of the pair."""
    now = moved(index, source, target)
    if now == index:
        return NOTHING
    instruction.path[-1] = now
    return RIGHT_CHANGED


def _same_container(left: list[Step], right: list[Step]) -> bool:
    """Whether two paths of equal length, at least one non-empty, differ at most in their last step."""
    return len(left) == 1 or left[:-1] == right[:-1]


def _index(instruction: ArrayInsert | ArrayMove | ArrayErase) -> int:
    """The list index that ends the path."""
    index = instruction.path[-1]
    if type(index) is not int:
        raise TransformError(f"{describe(instruction)} does not end in a list index; the changeset is malformed")
    return index


def _updated_index(update: Update) -> tuple[int, int]:
    """The index and prior size of a list update; a dictionary update cannot meet a list (Q21)."""
    index, size = update.path[-1], update.prior_size
    if type(index) is not int or size is None:
        raise TransformError(f"{describe(update)} treats as a dictionary what the other side treats as a list")
    return index, size


def _cleared_index(path: list[Step], clear: Clear) -> int | None:
    """The index of a nested collection that `clear` empties in the list that `path` addresses."""
    if not _same_container(path, clear.path):
        return None
    index = clear.path[-1]
    return index if type(index) is int else None


def _check_sizes(left: PathInstruction, left_size: int, right: PathInstruction, right_size: int) -> None:
    """Refuse concurrent instructions that disagree about the size of their list."""
    if left_size != right_size:
        raise TransformError(
            f"{describe(left)} found {left_size} elements and {describe(right)} {right_size}, "
            "although both are concurrent on the same list"
        )


def _check_index(instruction: PathInstruction, index: int, end: int) -> None:
    """Refuse an index outside the list that the instruction itself declares."""
    if index >= end:
        raise TransformError(f"{describe(instruction)}: index {index} is not below {end}")


def describe(instruction: PathInstruction) -> str:
    """Return the instruction's name and address for an error message."""
    steps = "".join(f"[{step!r}]" for step in instruction.path)
    return f"{type(instruction).__name__} of {instruction.class_name}[{instruction.key!r}].{instruction.field}{steps}"
