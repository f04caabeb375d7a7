"""The base classes of declared classes.

An object is *unmanaged* until a realm holds it: then its image is a list of its own, links are Python
objects in it, collections come after the single values, and `_row` is a bit mask of the values that
were given explicitly. A *managed* object is a view of a row (`realm.binding`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, dataclass_transform

from hinterland.errors import InvalidObjectError, SchemaError, UsageError, ValueTypeError
from hinterland.realm.attributes import Attribute, IgnoredAttribute
from hinterland.realm.backlinks import BacklinksAttribute
from hinterland.realm.binding import UNMANAGED, Binding, synchronise
from hinterland.realm.generated import check_source
from hinterland.realm.identity import new_key
from hinterland.realm.typed import mapped
from hinterland.schema.declaration import MISSING, Declaration, declare, field
from hinterland.values import (
    INT_MAX,
    INT_MIN,
    STRING_BYTES_MAX,
    ClassKind,
    CollectionType,
    ObjectId,
    PropertyType,
)

if TYPE_CHECKING:
    from hinterland.realm.changes import ObjectChange
    from hinterland.realm.notifications import Token
    from hinterland.realm.realm import Realm

__all__ = ["AsymmetricObject", "EmbeddedObject", "Object", "ObjectBase", "ObjectMeta", "reserved_names"]

_MODULE: Final = __name__


class ObjectMeta(type):
    """Reads a class body and puts descriptors in the place of its annotations."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> ObjectMeta:
        """Make a class of what its body declares."""
        if namespace.get("__module__") == _MODULE:
            return super().__new__(mcs, name, bases, namespace, **options)
        kinds = {base.__hinterland_kind__ for base in bases if hasattr(base, "__hinterland_kind__")}
        if len(kinds) != 1:
            raise SchemaError(f"class {name}: derive it from one of Object, EmbeddedObject and AsymmetricObject")
        frame = sys._getframe(1)
        inherited = tuple(base.__hinterland__ for base in bases if hasattr(base, "__hinterland__"))
        module = sys.modules.get(namespace.get("__module__", ""))
        scope = {} if module is None else vars(module)
        stored_name = namespace.get("__stored_name__", name)
        declaration = declare(stored_name, kinds.pop(), namespace, inherited, frame.f_locals, scope)
        _check_names(declaration)
        body = dict(namespace)
        attributes = _attributes(declaration)
        body.update((one.declared.attribute, one) for one in attributes)
        body.update((each, BacklinksAttribute.of(links)) for each, links in declaration.backlinks.items())
        body.update((each, IgnoredAttribute.of(each, options_)) for each, options_ in declaration.ignored.items())
        if "__slots__" not in body:
            has_slot = any("_ignored" in vars(base) for one in bases for base in one.__mro__)
            body["__slots__"] = ("_ignored",) if declaration.ignored and not has_slot else ()
        body["__hinterland__"] = declaration
        body["__hinterland_singles__"] = tuple(one for one in attributes if not one.is_collection)
        body["__hinterland_collections__"] = tuple(one for one in attributes if one.is_collection)
        cls = super().__new__(mcs, name, bases, body, **options)
        _add_init(cls, attributes, declaration)
        _use_init(cls, has_own="__init__" in namespace)
        return cls

    if not TYPE_CHECKING:  # type checkers take class attributes for values, which fits the operators

        def __getattribute__(cls, name: str) -> Any:
            """Return a query expression for a property of the class: `Person.age >= 18`."""
            found = type.__getattribute__(cls, name)
            kind = type(found)
            if kind is not Attribute and kind is not BacklinksAttribute:
                return found
            from hinterland.query.expressions import attribute

            return attribute(name)


def _check_names(declaration: Declaration) -> None:
    """Refuse attributes that would hide what all objects have."""
    names = [one.attribute for one in declaration.properties]
    for name in (*names, *declaration.backlinks, *declaration.ignored):
        if name in _RESERVED or (name == "parent" and declaration.kind is ClassKind.EMBEDDED):
            raise SchemaError(
                f"{declaration.name}.{name}: all objects have an attribute of that name; use another"
                f" one, with field(name={name!r}) if it is to be stored under this name"
            )


def _attributes(declaration: Declaration) -> list[Attribute]:
    """Make the descriptors: single values in front, then collections."""
    singles = [one for one in declaration.properties if one.property.collection is CollectionType.SINGLE]
    others = [one for one in declaration.properties if one.property.collection is not CollectionType.SINGLE]
    return [Attribute.of(declaration.name, one, index) for index, one in enumerate(singles + others)]


_INIT: Final = """
def make({parameters}):
    def __init__({arguments}):
        {body}
        __hl_self._image = [{image}]
        __hl_self._binding = __hl_UNMANAGED
        __hl_self._stamp = None
        __hl_self._row = __hl_mask
        {rest}
    return __init__
"""
"""Properties are its parameters, so that every other name has a prefix."""


def _add_init(cls: Any, attributes: list[Attribute], declaration: Declaration) -> None:
    """Generate the constructor: keyword arguments with checks in place."""
    body = ["__hl_mask = 0"]
    names: dict[str, Any] = {"__hl_MISSING": MISSING, "__hl_UNMANAGED": UNMANAGED, "__hl_missing": _missing}
    late = []
    for one in attributes:
        index, name = one.index, one.declared.attribute
        default = f"__hl_default{index}"
        if one.is_collection or one.type in (PropertyType.LINK, PropertyType.MIXED):
            late.append(f"if {name} is not __hl_MISSING: __hl_self.{name} = {name}")
            if one.is_collection or one.declared.default is not MISSING or one.declared.default_factory is not None:
                names[default] = _late_default(one)
                late.append(f"else: {default}(__hl_self)")
            continue
        names[f"__hl_convert{index}"] = one.convert
        names[default] = value = one.default_sql()
        body.append(f"if {name} is __hl_MISSING:")
        if one.is_generated:
            names[f"__hl_new{index}"] = new_key
            names[f"__hl_kind{index}"] = one.type
            body.append(f"    {name} = __hl_new{index}(__hl_kind{index})")
        elif one.declared.default_factory is not None:
            names[f"__hl_factory{index}"] = one.declared.default_factory
            body.append(f"    {name} = __hl_convert{index}(__hl_factory{index}())")
        elif value is not MISSING:
            body.append(f"    {name} = {default}")
        elif one.declared.property.nullable and not one.declared.is_key:
            body.append(f"    {name} = None")
        else:
            body.append(f"    __hl_missing({cls.__name__ + '.' + name!r})")
        body.extend(["else:", f"    {_check(one)}", f"    __hl_mask |= {1 << index}"])
    image = [
        "None" if one.is_collection or one.type in (PropertyType.LINK, PropertyType.MIXED) else one.declared.attribute
        for one in attributes
    ]
    ignored = list(declaration.ignored)
    late.extend(f"if {name} is not __hl_MISSING: __hl_self.{name} = {name}" for name in ignored)
    every = [one.declared.attribute for one in attributes] + ignored
    source = _INIT.format(
        parameters=", ".join(names),
        arguments=", ".join(["__hl_self", "/", *(["*"] if every else []), *(f"{name}=__hl_MISSING" for name in every)]),
        body="\n        ".join(body),
        image=", ".join(image),
        rest="\n        ".join(late or ["pass"]),
    )
    made: dict[str, Any] = {}
    exec(source, dict(_INIT_GLOBALS), made)  # noqa: S102 - attribute names are identifiers of the program itself
    init = made["make"](**names)
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__module__ = cls.__module__
    cls.__hinterland_init__ = init


def _check(one: Attribute) -> str:
    """Return the statement that checks the argument for an attribute."""
    text = check_source(
        one.type,
        nullable=one.declared.property.nullable,
        is_plain=one.declared.value_class in _PLAIN,
        variable="__hl_value",
        convert=f"__hl_convert{one.index}",
    )
    text = re.sub(rf"(?<!\.)\b({'|'.join(_CHECK_NAMES)})\b", r"__hl_\1", text)
    return text.replace("__hl_value", one.declared.attribute)


def _use_init(cls: Any, *, has_own: bool) -> None:
    """Let the class be made by its generated constructor, unless it has one of its own that calls it.

    `super().__init__(name="Ada")` in a subclass finds the constructor of a base class, which knows only the
    base's properties; from then on that one looks for the constructor of the object's own class.
    """
    if not has_own:
        cls.__init__ = cls.__hinterland_init__
        return
    for base in cls.__mro__[1:]:
        if vars(base).get("__init__") is not None and vars(base)["__init__"] is vars(base).get("__hinterland_init__"):
            base.__init__ = ObjectBase.__init__


def _late_default(one: Attribute) -> Any:
    """Return what gives a link, Mixed or collection attribute its default."""
    declared = one.declared
    if declared.default_factory is not None:
        factory = declared.default_factory
    elif one.is_collection:
        default = declared.default
        factory = (lambda: None) if default is MISSING or not default else (lambda: default)
    else:
        factory = lambda: declared.default  # noqa: E731
    bit = 1 << one.index

    def give(obj: ObjectBase) -> None:
        value = factory()
        if value is not None:
            setattr(obj, declared.attribute, value)
            obj._row &= ~bit

    return give


def _missing(where: str) -> None:
    raise ValueTypeError(f"{where} has no default and must be given")


_PLAIN: Final = frozenset({int, bool, str, bytes, float, ObjectId})
_CHECK_NAMES: Final[dict[str, Any]] = {
    "INT_MAX": INT_MAX,
    "INT_MIN": INT_MIN,
    "ObjectId": ObjectId,
    "SIZE_MAX": STRING_BYTES_MAX,
    "type": type,
    "int": int,
    "str": str,
    "bytes": bytes,
    "float": float,
    "len": len,
}
_INIT_GLOBALS: Final = {f"__hl_{name}": value for name, value in _CHECK_NAMES.items()}


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field, mapped))
class ObjectBase(metaclass=ObjectMeta):
    """What `Object`, `EmbeddedObject` and `AsymmetricObject` share."""

    __slots__ = ("__weakref__", "_binding", "_image", "_row", "_stamp")

    if TYPE_CHECKING:
        _binding: Any
        _image: Any
        _row: int
        _stamp: Any
        _ignored: dict[str, Any]

    __hinterland_kind__: ClassVar[ClassKind]
    __hinterland__: ClassVar[Declaration]
    __hinterland_singles__: ClassVar[tuple[Attribute, ...]] = ()
    __hinterland_collections__: ClassVar[tuple[Attribute, ...]] = ()
    __hinterland_init__: ClassVar[Callable[..., None]]

    def __init__(self, **values: Any) -> None:
        """Take the values of properties; what `super().__init__(...)` of a class with its own constructor calls."""
        type(self).__hinterland_init__(self, **values)

    # -- state -----------------------------------------------------------------------------------

    @property
    def is_managed(self) -> bool:
        """Whether a realm holds the object (or held it, until it was deleted)."""
        return self._stamp is not None

    @property
    def is_valid(self) -> bool:
        """Whether the object can be used: unmanaged, or managed and not deleted, in an open realm."""
        try:
            synchronise(self)
        except UsageError as error:
            if isinstance(error, InvalidObjectError) or self._binding.realm.is_closed:
                return False
            raise
        return True

    @property
    def realm(self) -> Realm | None:
        """The realm that holds the object; None if it is unmanaged."""
        realm: Realm | None = self._binding.realm
        return realm

    def detach(self, depth: int | None = None) -> Self:
        """Return an unmanaged deep copy.

        Args:
            depth: How many links to follow; links beyond it are None or left out. None follows all.
        """
        from hinterland.realm.detaching import detach

        return detach(self, depth)  # type: ignore[return-value]

    def to_dict(self, *, depth: int = 0) -> dict[str, Any]:
        """Return the object as a dict by attributes; embedded objects are dicts in it, collections lists and dicts.

        Args:
            depth: How many links to follow. Beyond it, and where an object comes round to itself, a linked object
                is its primary key.
        """
        from hinterland.realm.plain import to_dict

        return to_dict(self, depth)

    def to_json(self, *, depth: int = 0, indent: int | None = None) -> str:
        """Return `to_dict` as JSON: bytes in base64, times in ISO 8601, decimals and identifiers as strings."""
        from hinterland.realm.plain import json_of

        return json_of(self, depth, indent)

    def freeze(self) -> Self:
        """Return the object as it is now, for ever and for all threads; see `Realm.freeze`."""
        from hinterland.realm.freezing import freeze_object

        return freeze_object(self)  # type: ignore[no-any-return]

    def thaw(self, realm: Realm | None = None) -> Self | None:
        """Return the live counterpart of a frozen object; None if it was deleted.

        Args:
            realm: The instance to find it in; by default the one that was frozen, on its own thread.

        Raises:
            WrongThreadError: This is another thread, and no realm was given.
        """
        from hinterland.realm.freezing import thaw_in

        return thaw_in(self, realm)  # type: ignore[no-any-return]

    @property
    def is_frozen(self) -> bool:
        """Whether the object belongs to a frozen realm."""
        return self._stamp is not None and bool(self._binding.realm.is_frozen)

    def increment(self, attribute: str, amount: int = 1) -> None:
        """Add to an int property; increments of several devices add up.

        Raises:
            ValueTypeError: It is no int property, is None, or the sum does not fit 64 bits.
        """
        from hinterland.realm.incrementing import increment

        increment(self, attribute, amount)

    def observe(
        self, callback: Callable[[Self, ObjectChange], None], *, key_paths: Sequence[str] | None = None
    ) -> Token:
        """Call `callback(object, change)` once at first, and after each change of a managed object.

        Args:
            callback: Is called on the realm's thread; see `Realm.observe`. When the object has been
                deleted, it is called for the last time.
            key_paths: The properties to look at, such as `"name"`, `"employer.name"`; by default all,
                with what is embedded, but not into linked objects.
        """
        from hinterland.realm.observing import observe_object

        return observe_object(self, callback, key_paths)

    # -- comparison ------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, ObjectBase) or type(self).__hinterland__.name != type(other).__hinterland__.name:
            return NotImplemented
        if self._stamp is not None and other._stamp is not None:
            return self._row == other._row and self._binding.realm.path == other._binding.realm.path
        if self._stamp is not None or other._stamp is not None:
            return False
        from hinterland.realm.detaching import same_values

        return same_values(self, other)

    def __hash__(self) -> int:
        if self._stamp is None:
            raise TypeError(f"unhashable: this {type(self).__name__} is compared by value until it is added to a realm")
        return hash((self._binding.name, self._row))

    def __copy__(self) -> Self:
        from hinterland.realm.detaching import copy_embedded

        return copy_embedded(self)  # type: ignore[return-value]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.detach()

    def __reduce_ex__(self, protocol: Any) -> Any:
        from hinterland.realm.detaching import blank, state_of

        if self._stamp is not None:
            raise TypeError(
                f"this {type(self).__name__} belongs to a realm and cannot be pickled; pickle obj.detach(),"
                " or open the realm in the other process and look the object up there"
            )
        return blank, (type(self),), state_of(self)

    def __setstate__(self, state: Any) -> None:
        from hinterland.realm.detaching import restore

        restore(self, state)

    def __repr__(self) -> str:
        from hinterland.realm.detaching import describe

        return describe(self)


class Object(ObjectBase):
    """Base of classes whose objects have a primary key and live by themselves."""

    __slots__ = ()
    __hinterland_kind__ = ClassKind.TOP_LEVEL
    if TYPE_CHECKING:
        _id: Any = field(default=None)  # generated, hence not required by the constructor

        # Not that of the properties, which a subclass's own constructor passes on.
        def __init__(self, **values: Any) -> None: ...


class EmbeddedObject(ObjectBase):
    """Base of classes whose objects live in one property of another object, and die with it."""

    __slots__ = ()
    __hinterland_kind__ = ClassKind.EMBEDDED
    if TYPE_CHECKING:
        # Not that of the properties, which a subclass's own constructor passes on.
        def __init__(self, **values: Any) -> None: ...

    @property
    def parent(self) -> ObjectBase | None:
        """The object that holds this one; None if it is unmanaged."""
        if synchronise(self):
            return None
        binding: Binding = self._binding
        table, _, owner = binding.table.owner_of(self._row)
        return binding.realm._bindings[table.schema.name].get(owner)


class AsymmetricObject(ObjectBase):
    """Base of classes whose objects are only sent: they leave the device after upload."""

    __slots__ = ()
    __hinterland_kind__ = ClassKind.ASYMMETRIC
    if TYPE_CHECKING:
        _id: Any = field(default=None)  # generated, hence not required by the constructor

        # Not that of the properties, which a subclass's own constructor passes on.
        def __init__(self, **values: Any) -> None: ...


_RESERVED: Final = frozenset(name for name in vars(ObjectBase) if not name.startswith("__")) | {"_ignored"}


def reserved_names() -> frozenset[str]:
    """Return the names that no property can have as an attribute."""
    return _RESERVED | {"self", "parent"}
