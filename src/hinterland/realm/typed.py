"""Annotations for which type checkers know what a property of the *class* is.

With `age: int` a checker takes `Person.age` for an int, and `Person.age >= 18` for a bool; with
`age: Mapped[int]` it knows both `person.age` (an int) and `Person.age` (a property to query by). At run time
there is no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload

from hinterland.schema.declaration import MISSING, field

if TYPE_CHECKING:
    from hinterland.query.expressions import Attribute

__all__ = ["Linked", "Mapped", "mapped"]

T = TypeVar("T")


class Mapped(Generic[T]):
    """A property: `age: Mapped[int] = mapped(default=0)` is `age: int = 0` for type checkers that check queries."""

    __hinterland_mapped__: Final = "value"

    if TYPE_CHECKING:

        @overload
        def __get__(self, obj: None, owner: Any) -> Attribute[T]: ...
        @overload
        def __get__(self, obj: object, owner: Any) -> T: ...
        def __get__(self, obj: Any, owner: Any) -> Any: ...

        def __set__(self, obj: Any, value: T) -> None: ...


class Linked(Generic[T]):
    """A link: `employer: Linked[Company] = mapped(default=None)` is `employer: Company | None = None`.

    On the class it is the linked class, so that checkers know `Person.employer.name`.
    """

    __hinterland_mapped__: Final = "link"

    if TYPE_CHECKING:

        @overload
        def __get__(self, obj: None, owner: Any) -> type[T]: ...
        @overload
        def __get__(self, obj: object, owner: Any) -> T | None: ...
        def __get__(self, obj: Any, owner: Any) -> Any: ...

        def __set__(self, obj: Any, value: T | None) -> None: ...


def mapped(
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    primary_key: bool = False,
    index: bool = False,
    name: str | None = None,
    full_text: bool = False,
) -> Any:
    """Say more about a `Mapped` or `Linked` property; the arguments are those of `field`."""
    options: dict[str, Any] = {"primary_key": primary_key, "index": index, "name": name, "full_text": full_text}
    if default is not MISSING:
        options["default"] = default
    if default_factory is not None:
        options["default_factory"] = default_factory
    return field(**options)
