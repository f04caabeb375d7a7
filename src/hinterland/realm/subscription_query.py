"""What results ask for, in words that mean the same to the server: their query as text, and paths to include.

Constants are part of the text, and names are those of the file. What order results have does not matter for which
objects belong to them, so it is left out; what an object's place in the order decides (`limit`, `distinct`) cannot be
asked for.

Source: spec flx.md §1.4, §4.4; features.md §4.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from hinterland.errors import QueryError, QuerySyntaxError, UsageError
from hinterland.query.ast import (
    And,
    Comparison,
    Condition,
    Distinct,
    Limit,
    Literal,
    ObjectLiteral,
    Path,
    Query,
    Sort,
    Step,
    Truth,
)
from hinterland.query.compiler import compile_query
from hinterland.query.description import describe, describe_operand
from hinterland.query.parser import parse, parse_path
from hinterland.query.stored_names import StoredNames, has_arguments
from hinterland.realm import querying
from hinterland.values import Link, PropertyType

if TYPE_CHECKING:
    from hinterland.realm.binding import Binding
    from hinterland.realm.results import Results
    from hinterland.schema.types import Schema
    from hinterland.store.subscription_sets import StoredSubscription

__all__ = ["asked_classes", "include_paths", "is_covered", "query_text", "reached_classes"]

QUERY_BYTES_MAX: Final = 256 * 1024
"""What a server takes for one class (spec flx.md §2.9)."""


def query_text(results: Results[Any]) -> str:
    """Return the query of results as text.

    Raises:
        QueryError: It depends on the order of the objects, has a constant that cannot be written, or is too long.
    """
    binding = results._ready()
    chain = results._chain or querying.NOTHING
    for step in chain.steps:
        if isinstance(step, Distinct | Limit):
            what = "limit()" if isinstance(step, Limit) else "distinct()"
            raise QueryError(
                f"results with {what} cannot be subscribed to, for which objects these are depends on others;"
                f" subscribe without it and apply {what} to what is here"
            )
    text = _text(_required(results), _arguments(results))
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > QUERY_BYTES_MAX:
        raise QueryError(f"the query on {binding.title} has {size} bytes as text; a server takes {QUERY_BYTES_MAX}")
    try:
        query = parse(text)
        is_whole = not has_arguments(query.steps)
    except QuerySyntaxError:
        is_whole = False
    if not is_whole:
        raise QueryError(f"a constant of the query on {binding.title} cannot be written as text: {text}")
    compile_query(query, querying.catalog_of(binding.store), binding.name)
    return text


def is_covered(results: Results[Any], subscription: StoredSubscription) -> bool:
    """Return whether what a complete subscription brings has all objects of results; False where that is not plain.

    It has them if they have to meet all that it requires, and if whether they do can be seen from what it brings.
    """
    binding = results._ready()
    if subscription.class_name != binding.name:
        return False
    arguments = _arguments(results)
    required = {_text([one], arguments) for one in _required(results)}
    if not required.issuperset(_text([one], ()) for one in _parts(parse(subscription.query))):
        return False
    return all(_is_seen(binding, path, subscription.links) for path in _looked_at(results))


def include_paths(binding: Binding, include: Iterable[str]) -> tuple[str, ...]:
    """Return paths to objects that are to come along, checked, in the names of the file, each once and sorted.

    Raises:
        QueryError: One leads nowhere, to a value, or along no backlink.
    """
    if isinstance(include, str) or not all(isinstance(one, str) for one in include):
        raise UsageError(f"include is a sequence of paths, such as ['@links.Comment.task'], not {include!r}")
    return tuple(sorted({_include_path(binding, one) for one in include}))


def _include_path(binding: Binding, text: str) -> str:
    path = parse_path(text)
    count = Path(path.steps, suffix="@count")
    querying.compiled(binding, Query((Comparison(">=", count, Literal(0)),), text))
    stored, reached = _names(binding, ()).path(path, binding.name)
    words = [step.name for step in stored.steps if isinstance(step, Step)]
    is_plain = len(words) == len(stored.steps) and "@keys" not in words
    if reached is None or not is_plain or "@links" not in words:
        raise QueryError(
            f"include: {text!r} is no path from {binding.title} to objects along a backlink; write it as"
            " '@links.Comment.task', or name an attribute that hl.backlinks() declares"
        )
    return describe_operand(stored)


def reached_classes(schema: Schema, subscription: StoredSubscription) -> set[str]:
    """Return the classes whose objects a subscription may bring, by what the file declares."""
    return asked_classes(schema, [(subscription.class_name, subscription.links, subscription.include)])


def asked_classes(schema: Schema, asked: Iterable[tuple[str, str, tuple[str, ...]]]) -> set[str]:
    """Return the classes whose objects may come: given what is asked for, with links or without, and along paths."""
    alone: set[str] = set()
    followed: set[str] = set()
    names = StoredNames(schema, {}, {})
    for class_name, links, include in asked:
        found = followed if links == "closure" else alone
        found.add(class_name)
        for text in include:
            path = parse_path(text)
            with suppress(KeyError):  # the file has lost a class since
                for end in range(1, len(path.steps) + 1):
                    reached = names.path(Path(path.steps[:end]), class_name)[1]
                    found.update([] if reached is None else [reached])
    waiting = list(followed)
    while waiting:
        declared = schema.classes.get(waiting.pop())
        targets = () if declared is None else (one.target for one in declared.properties.values())
        for target in targets:
            if target is not None and target not in followed:
                followed.add(target)
                waiting.append(target)
    return alone | followed


def _names(binding: Binding, arguments: tuple[Any, ...]) -> StoredNames:
    realm = binding.realm
    return StoredNames(binding.store.schema, querying.aliases_of(binding), realm._class_names, arguments)


def _text(parts: list[Condition], arguments: tuple[Any, ...]) -> str:
    """Return the text of conditions that are all to be met."""
    wanted = [one for one in parts if not (isinstance(one, Truth) and one.value)]
    return describe(And(tuple(wanted)), arguments) if wanted else "TRUEPREDICATE"


def _arguments(results: Results[Any]) -> tuple[Any, ...]:
    """Return the arguments of results as values that have a text."""
    chain = results._chain or querying.NOTHING
    return tuple(_constant(results._binding, one) for one in chain.arguments)


def _constant(binding: Binding, value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset) and not isinstance(value, Link):
        return [_constant(binding, one) for one in value]
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    return querying.link_of(binding, value)


def _required(results: Results[Any]) -> list[Condition]:
    """Return what each object has to fulfil before its place in an order matters, in the names of the file."""
    binding = results._binding
    chain = results._chain or querying.NOTHING
    found: list[Any] = [] if results._members is None else [_membership(results)]
    for one in results._conditions:
        found += _parts(parse(one.describe(binding)))
    for step in chain.steps:
        if isinstance(step, Distinct | Limit):
            break
        if not isinstance(step, Sort):
            found += _parts(Query((step,)))
    names = _names(binding, chain.arguments)
    return [_with_links(binding, names.condition(one, binding.name)) for one in found]


def _parts(query: Query) -> list[Condition]:
    """Return the conditions of a query that are to be met together."""
    found: list[Condition] = []
    for step in query.steps:
        if isinstance(step, And):
            found += _parts(Query(step.conditions))
        elif not isinstance(step, Sort | Distinct | Limit) and not (isinstance(step, Truth) and step.value):
            found.append(step)
    return found


def _with_links(binding: Binding, node: Any) -> Any:
    """Return a tree in which links stand for live objects."""
    if isinstance(node, Literal):
        return replace(node, value=_constant(binding, node.value))
    if isinstance(node, tuple):
        return tuple(_with_links(binding, one) for one in node)
    if not is_dataclass(node) or isinstance(node, type):
        return node
    return replace(node, **{one.name: _with_links(binding, getattr(node, one.name)) for one in fields(node)})


def _membership(results: Results[Any]) -> Condition:
    """Return the condition that an object is in the collection that results come from."""
    members = results._members
    assert members is not None
    owner = results._binding.store.tables[members.class_name]
    if owner.is_embedded:
        raise QueryError(
            f"a collection of an embedded object cannot be subscribed to; subscribe to {results._binding.title} itself"
        )
    path = Path((Step("@links"), Step(members.class_name), Step(members.property)))
    return Comparison("==", path, ObjectLiteral(members.class_name, Literal(owner.key_of(members.row))))


# -- what can be seen ----------------------------------------------------------------------------


def _looked_at(results: Results[Any]) -> Iterator[Path]:
    """Iterate over the paths that decide about results, in the names of the file."""
    binding = results._binding
    chain = results._chain or querying.NOTHING
    names = _names(binding, chain.arguments)
    for step in chain.steps:
        if isinstance(step, Sort):
            yield from (names.path(key, binding.name)[0] for key, _ in step.keys)
        elif isinstance(step, Distinct):
            yield from (names.path(key, binding.name)[0] for key in step.keys)
        elif not isinstance(step, Limit):
            yield from _paths(names.condition(step, binding.name))


def _paths(node: Any) -> Iterator[Path]:
    """Iterate over the paths of a tree."""
    if isinstance(node, Path):
        yield node
    if isinstance(node, tuple):
        for one in node:
            yield from _paths(one)
    elif is_dataclass(node) and not isinstance(node, type):
        for one in fields(node):
            yield from _paths(getattr(node, one.name))


def _is_seen(binding: Binding, path: Path, links: str) -> bool:
    """Return whether all that a path leads to is here with the objects of a subscription."""
    if any(isinstance(step, Step) and step.name == "@links" for step in path.steps):
        return False
    if links == "closure":
        return True
    first = path.steps[0] if path.steps else None
    own = binding.table.schema.properties.get(first.name) if isinstance(first, Step) else None
    return own is not None and own.type is not PropertyType.LINK
