"""The writer thread of a realm: `Realm.write_async` runs functions there, on an instance of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hinterland.realm.configuration import Configuration
    from hinterland.realm.realm import Realm

__all__ = ["Reference", "Writer"]


class Reference(NamedTuple):
    """Names an object of another instance of the realm."""

    class_name: str
    row: int


class Writer:
    """One thread with one instance of the realm, made when it is first used."""

    def __init__(self, configuration: Configuration, session: Any) -> None:
        self._configuration = configuration
        self._session = session
        from concurrent.futures import ThreadPoolExecutor

        self._executor = ThreadPoolExecutor(1, thread_name_prefix="hinterland-writer")
        self._realm: Realm | None = None

    async def run(self, function: Callable[[Realm], Any]) -> Any:
        """Run the function in a transaction; an object it returns becomes a `Reference`."""
        import asyncio  # loaded already where a coroutine runs; half the import time of the package elsewhere

        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, function)

    def stop(self) -> None:
        """Finish what was begun and close the instance."""
        self._executor.submit(self._close)
        self._executor.shutdown(wait=True)

    def _run(self, function: Callable[[Realm], Any]) -> Any:
        from hinterland.realm.objects import ObjectBase
        from hinterland.realm.realm import Realm

        if self._realm is None:
            self._realm = Realm._open(self._configuration, session=self._session, is_sibling=True)
        with self._realm.write():
            result = function(self._realm)
        if isinstance(result, ObjectBase) and result.is_managed:
            return Reference(type(result).__hinterland__.name, result._row)
        return result

    def _close(self) -> None:
        if self._realm is not None:
            self._realm._close()
