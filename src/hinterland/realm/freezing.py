"""Frozen realms and objects, which never change and belong to all threads, and passing objects to threads.

A frozen realm is another connection that pins the same snapshot. Is the snapshot no longer the newest,
nobody else can pin it, so it is copied into a temporary file.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, cast

from hinterland.errors import InvalidObjectError, UsageError, ValueTypeError, WrongThreadError
from hinterland.realm.binding import synchronise
from hinterland.realm.collections import Collection
from hinterland.realm.files import OpenFile, let_go
from hinterland.realm.objects import ObjectBase
from hinterland.realm.results import Results
from hinterland.store.frozen import copy_snapshot, open_frozen
from hinterland.values import brief

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["ThreadSafeReference", "freeze_object", "freeze_realm", "freeze_results", "resolve", "thaw_in", "thaw_realm"]

T = TypeVar("T")


class _AnyThread(int):
    """Equal to every thread's number."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


ANY_THREAD: Final = _AnyThread()


# -- freezing ------------------------------------------------------------------------------------


def freeze_realm(realm: Realm) -> Realm:
    """See `Realm.freeze`."""
    if realm.is_frozen:
        return realm
    if realm.is_in_write:
        raise UsageError(f"{realm.path} cannot be frozen in a write transaction; freeze it after the commit")
    known = None if realm._frozen is None else realm._frozen()
    if known is not None and not known.is_closed and known.version == realm.version:
        return known
    frozen = _open(realm)
    realm._frozen = weakref.ref(frozen)
    return frozen


def _open(realm: Realm) -> Realm:
    configuration = replace(
        realm.configuration,
        read_only=True,
        migration=None,
        initial_data=None,
        changeset_sink=None,
        on_open=None,
        on_close=None,
        opener=None,
        scheduler=None,
    )
    file = OpenFile.take(realm.configuration.path, in_memory=realm.configuration.in_memory, key=realm._store.key)
    try:
        store = open_frozen(file.path, realm._store.version, realm._store.key)
        if store is None:
            file.release()
            import tempfile

            directory = tempfile.mkdtemp(prefix="hinterland-")
            file = OpenFile(realm.path, str(Path(directory) / "realm.hldb"), directory, 1)
            copy_snapshot(realm._store, file.path)
            store = open_frozen(file.path, realm._store.version, realm._store.key)
            assert store is not None
        frozen = type(realm)(configuration, file, store)
    except BaseException:
        file.release()
        raise
    frozen._thread = ANY_THREAD
    frozen._origin = realm
    frozen._bind()
    frozen._finalizer = weakref.finalize(frozen, let_go, store, file)
    return frozen


def freeze_object(obj: ObjectBase) -> Any:
    """See `ObjectBase.freeze`."""
    if synchronise(obj):
        raise UsageError(f"this {type(obj).__name__} is unmanaged; only objects in a realm can be frozen")
    return _counterpart(obj, freeze_realm(obj._binding.realm))


def freeze_results(results: Results[Any]) -> Results[Any]:
    """See `Results.freeze`."""
    results._binding.realm._check()
    return _results_in(results, freeze_realm(results._binding.realm))


# -- thawing -------------------------------------------------------------------------------------


def thaw_realm(frozen: Realm) -> Realm:
    """See `Realm.thaw`."""
    origin = frozen._origin
    if origin is None:
        return frozen
    if not origin.is_closed and origin._thread == get_ident():
        return origin
    configuration = origin.configuration
    if configuration.scheduler is not None and not configuration.scheduler.is_on_thread():
        configuration = replace(configuration, scheduler=None)
    return type(frozen).open(configuration)


def thaw_in(what: Any, realm: Realm | None) -> Any:
    """Return the live counterpart of a frozen object or of frozen results; see `ObjectBase.thaw`."""
    own: Realm | None = what._binding.realm
    if own is None or (realm is None and not own.is_frozen):
        return what
    if realm is None:
        realm = own._origin
        assert realm is not None
        if realm.is_closed or realm._thread != get_ident():
            raise WrongThreadError(
                f"{own.path} was frozen by another thread, or has been closed; pass an instance: thaw(realm)"
            )
    _catch_up(realm, own.version)
    return _results_in(what, realm) if isinstance(what, Results) else _counterpart(what, realm)


def _catch_up(realm: Realm, version: int) -> None:
    """Move a realm on to where an object of another instance exists."""
    if realm.version < version and not realm.is_frozen:
        realm.refresh()


def _counterpart(obj: ObjectBase, realm: Realm) -> Any:
    """Return the same object in another instance of the realm; None if it is gone there."""
    return _bound(realm, obj._binding.name).get(obj._row)


def _bound(realm: Realm, name: str) -> Any:
    from hinterland.realm.dynamic import DynamicRealm

    return DynamicRealm(realm)._bound(name)


def _results_in(results: Results[Any], realm: Realm) -> Results[Any]:
    binding = _bound(realm, results._binding.name)
    chain = results._chain
    if chain is not None and any(isinstance(one, ObjectBase) for one in chain.arguments):
        arguments = tuple(_counterpart(one, realm) if isinstance(one, ObjectBase) else one for one in chain.arguments)
        chain = replace(chain, arguments=arguments)
    return Results(binding, results._conditions, chain, results._members)


# -- references ----------------------------------------------------------------------------------


class _Place(NamedTuple):
    """An object of any instance of a realm file."""

    class_name: str
    row: int


class ThreadSafeReference(Generic[T]):
    """Carries a live object, results or a collection to another thread; see `Realm.resolve`.

    It can be resolved more than once, and keeps no version of the realm from being let go.

    Raises:
        UsageError: What is given is unmanaged, or was made in a transaction that is still open.
    """

    __slots__ = ("_attribute", "_chain", "_conditions", "_members", "_path", "_place", "_version")

    def __init__(self, what: T) -> None:
        """Take the reference on the thread that owns what is referred to."""
        self._attribute: str | None = None
        self._conditions: Any = None
        self._members: Any = None
        self._chain: Any = None
        subject: Any = what
        if isinstance(subject, Collection):
            if subject._owner is None or subject._attribute is None:
                raise UsageError("this collection is unmanaged; only what is in a realm can be referred to")
            self._attribute = subject._attribute.name
            subject = subject._owner
        if isinstance(subject, ObjectBase):
            if synchronise(subject):
                raise UsageError(f"this {type(subject).__name__} is unmanaged; pass it itself, or add it first")
            self._place = _Place(subject._binding.name, subject._row)
        elif isinstance(subject, Results):
            self._place = _Place(subject._binding.name, 0)
            self._conditions = subject._conditions
            self._members = subject._members
            self._chain = _without_objects(subject._chain)
        else:
            raise ValueTypeError(f"expected an object, results or a collection of a realm, got {brief(what)}")
        realm: Realm = subject._binding.realm
        realm._check()
        if realm.is_in_write:
            raise UsageError("take references outside write transactions; other threads see only what is committed")
        self._path = realm._store.path if realm._origin is None else realm._origin._store.path
        self._version = realm.version


def _without_objects(chain: Any) -> Any:
    """Return a chain whose arguments are places in place of live objects."""
    if chain is None:
        return None
    arguments = tuple(
        _Place(one._binding.name, one._row) if isinstance(one, ObjectBase) and one.is_managed else one
        for one in chain.arguments
    )
    return replace(chain, arguments=arguments)


def resolve(realm: Realm, reference: ThreadSafeReference[T]) -> T | None:
    """See `Realm.resolve`."""
    if not isinstance(reference, ThreadSafeReference):
        raise ValueTypeError(f"expected a ThreadSafeReference, got {brief(reference)}")
    if reference._path != realm._store.path:
        raise UsageError(f"the reference is to an object of {reference._path}, not of {realm.path}")
    _catch_up(realm, reference._version)
    binding = _bound(realm, reference._place.class_name)
    if reference._conditions is not None:
        chain = reference._chain
        if chain is not None:
            chain = replace(chain, arguments=tuple(_object_of(realm, one) for one in chain.arguments))
        return cast("T", Results(binding, reference._conditions, chain, reference._members))
    found = binding.get(reference._place.row)
    if found is None or reference._attribute is None:
        return cast("T | None", found)
    return cast("T", getattr(found, binding.attributes[reference._attribute].declared.attribute))


def _object_of(realm: Realm, value: Any) -> Any:
    if not isinstance(value, _Place):
        return value
    found = _bound(realm, value.class_name).get(value.row)
    if found is None:
        raise InvalidObjectError(f"a {value.class_name} that the results speak of was deleted")
    return found
