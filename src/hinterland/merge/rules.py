"""Which rule applies to which pair of instructions.

`REGULAR[type(left)].get(type(right))` is the rule for two instructions of equally long
addresses, `NESTED.get(type(outer))` the rule for an outer instruction and an inner one. A pair
without a rule is left alone. `merge_instructions` finds and runs the rule for any pair; the
driver uses the tables directly where it knows more about the pair.

Source: spec merge.md §4.2 step 5, §4.5, §4.6, §4.7.
"""

from __future__ import annotations

from typing import Final

from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Clear,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
    SetErase,
    SetInsert,
    Update,
)
from hinterland.merge import list_rules, nested_rules, schema_rules, value_rules
from hinterland.merge.outcome import (
    LEFT_DISCARDED,
    NOTHING,
    PREPENDED,
    RIGHT_DISCARDED,
    Rule,
    swap,
    swapped,
)

__all__ = ["NESTED", "REGULAR", "merge_instructions"]

# The larger code is left, as in merge.md §4.1; the mirrored pairs are derived.
_PAIRS: Final[dict[tuple[type, type], Rule]] = {
    (AddTable, AddTable): schema_rules.add_table_add_table,
    (EraseTable, AddTable): schema_rules.erase_table_add_table,
    (EraseTable, EraseTable): schema_rules.erase_table_erase_table,
    (AddColumn, AddColumn): schema_rules.add_column_add_column,
    (EraseColumn, AddColumn): schema_rules.erase_column_add_column,
    (EraseColumn, EraseColumn): schema_rules.erase_column_erase_column,
    (EraseObject, CreateObject): schema_rules.erase_object_create_object,
    (EraseObject, EraseObject): schema_rules.erase_object_erase_object,
    (Update, Update): value_rules.update_update,
    (AddInteger, Update): value_rules.add_update,
    (Clear, Update): value_rules.clear_update,
    (Clear, AddInteger): value_rules.clear_add,
    (Clear, Clear): value_rules.clear_clear,
    (SetInsert, Clear): value_rules.element_clear,
    (SetErase, Clear): value_rules.element_clear,
    (SetInsert, SetInsert): value_rules.same_element_once,
    (SetErase, SetInsert): value_rules.same_element_once,
    (SetErase, SetErase): value_rules.same_element_once,
    (ArrayInsert, Update): list_rules.insert_update,
    (ArrayInsert, ArrayInsert): list_rules.insert_insert,
    (ArrayMove, Update): list_rules.move_update,
    (ArrayMove, ArrayInsert): list_rules.move_insert,
    (ArrayMove, ArrayMove): list_rules.move_move,
    (ArrayErase, Update): list_rules.erase_update,
    (ArrayErase, ArrayInsert): list_rules.erase_insert,
    (ArrayErase, ArrayMove): list_rules.erase_move,
    (ArrayErase, ArrayErase): list_rules.erase_erase,
    # Q2: here the list instruction is left, because only the clear is affected.
    (ArrayInsert, Clear): list_rules.clear_insert,
    (ArrayMove, Clear): list_rules.clear_move,
    (ArrayErase, Clear): list_rules.clear_erase,
}

NESTED: Final[dict[type, Rule]] = {
    EraseTable: nested_rules.below_erased_table,
    EraseColumn: nested_rules.below_erased_column,
    EraseObject: nested_rules.below_erased_object,
    Update: nested_rules.below_update,
    AddInteger: nested_rules.below_add,
    ArrayInsert: nested_rules.below_insert,
    ArrayMove: nested_rules.below_move,
    ArrayErase: nested_rules.below_erase,
    Clear: nested_rules.below_clear,
}

# Address lengths of instructions that are not below a property; those below have 3 and more.
_DEPTHS: Final[dict[type, int]] = {
    AddTable: 1,
    EraseTable: 1,
    CreateObject: 2,
    EraseObject: 2,
    AddColumn: 2,
    EraseColumn: 2,
}


def _regular() -> dict[type, dict[type, Rule]]:
    """Return the table of regular rules, with each pair both ways round."""
    kinds = (
        *_DEPTHS,
        Update,
        AddInteger,
        ArrayInsert,
        ArrayMove,
        ArrayErase,
        Clear,
        SetInsert,
        SetErase,
    )
    table: dict[type, dict[type, Rule]] = {kind: {} for kind in kinds}
    for (left, right), rule in _PAIRS.items():
        table[left][right] = rule
        if left is not right:
            table[right][left] = swapped(rule)
    return table


REGULAR: Final = _regular()


def merge_instructions(left: Instruction, right: Instruction, order: int) -> int:
    """Merge any pair of instructions and return what happened, as flags of `outcome`.

    Args:
        left: The local instruction.
        right: The incoming instruction.
        order: Negative when left is the earlier one, positive when right is, else zero.

    Raises:
        TransformError: The two contradict each other.
    """
    if left.class_name != right.class_name:
        return _erase_link_target(left, right)
    above, below = _depth(left), _depth(right)
    if above == below:
        rule = REGULAR[type(left)].get(type(right))
        if rule is None or (above > 2 and not _same_field(left, right)):
            return NOTHING
        return rule(left, right, order)
    if above < below:
        return _merge_nested(left, right, above)
    return swap(_merge_nested(right, left, below))


def _merge_nested(outer: Instruction, inner: Instruction, outer_depth: int) -> int:
    """Run the outer instruction's rule on the inner one, which is the right one of the result."""
    rule = NESTED.get(type(outer))
    if rule is None or (outer_depth > 2 and not _same_field(outer, inner)):
        return NOTHING
    return rule(outer, inner, 0)


def _erase_link_target(left: Instruction, right: Instruction) -> int:
    """R7: a link property to a class that is erased goes with it."""
    if type(left) is AddColumn and type(right) is EraseTable and left.target == right.class_name:
        return LEFT_DISCARDED | PREPENDED
    if type(right) is AddColumn and type(left) is EraseTable and right.target == left.class_name:
        return RIGHT_DISCARDED | PREPENDED
    return NOTHING


def _depth(instruction: Instruction) -> int:
    """The length of the instruction's address."""
    depth = _DEPTHS.get(type(instruction))
    return 3 + len(instruction.path) if depth is None else depth  # type: ignore[union-attr]


def _same_field(left: Instruction, right: Instruction) -> bool:
    """Whether two instructions below a property of one class name the same object and property."""
    return bool(left.field == right.field and left.key == right.key)  # type: ignore[union-attr]
