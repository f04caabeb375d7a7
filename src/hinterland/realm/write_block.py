"""The block of `with realm.write():`."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hinterland.realm.notifications import Token
    from hinterland.realm.realm import Realm

__all__ = ["WriteBlock"]


class WriteBlock:
    """What `Realm.write` returns."""

    __slots__ = ("_realm", "_silent")

    def __init__(self, realm: Realm, silent: tuple[Token, ...]) -> None:
        self._realm = realm
        self._silent = silent

    def __enter__(self) -> Realm:
        self._realm._begin()
        return self._realm

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        realm = self._realm
        if realm._transaction is None:  # the block closed the realm
            return
        if kind is None:
            realm._commit(self._silent)
        else:
            realm._rollback()
            realm._notifier.settle()
