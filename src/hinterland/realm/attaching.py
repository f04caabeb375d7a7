"""Turning a local realm into a synchronised one; the copying itself is the synchronising side's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hinterland.errors import ConfigurationError, UsageError
from hinterland.realm.configuration import Configuration
from hinterland.realm.files import OpenFile, delete_unused

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["Attaching"]


class Attaching:
    """A part of `Realm`."""

    @classmethod
    def attach(
        cls,
        local: Realm | Configuration | str | Path,
        configuration: Configuration,
        *,
        download: bool = False,
        timeout: float | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Realm:
        """Turn a local realm into a synchronised one, and open that.

        Everything in the local realm becomes local changes of the synchronised one, which are uploaded and
        merged like any others. Then the local realm is closed and its file deleted. If it is a file that does
        not exist, it was attached before, and the synchronised realm is just opened: so this can be called
        at each start of an app. After a crash nothing is lost and nothing is there twice.

        Args:
            local: The local realm, its file, or its configuration if it has an encryption key; nobody else may
                use it.
            configuration: What `SyncUser.configuration` returned; its classes must fit those of the local realm.
            download: First wait for the server's state, to learn now whether the classes fit that, too.
            timeout: How many seconds the download may take.
            progress: Called with (copied, total) now and then.

        Raises:
            SchemaError: A class or property has another form in the synchronised realm; nothing was changed.
            UsageError: The local realm is in a write transaction, open elsewhere in this process, or not local.
        """
        opener = configuration.opener
        if opener is None:
            raise ConfigurationError(f"attach: {configuration.path} is not synchronised; use SyncUser.configuration")
        path, key = _attachable(local)
        opener.open(configuration, download=download, progress=None, timeout_s=timeout)
        if path is not None:
            opener.attach(configuration, path, key, progress)
            if isinstance(local, Attaching):
                local.close()
            delete_unused(path, key)
        return cast("type[Realm]", cls)._open(configuration)

    @classmethod
    async def attach_async(
        cls,
        local: Realm | Configuration | str | Path,
        configuration: Configuration,
        *,
        download: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's name for it
        progress: Callable[[int, int], object] | None = None,
    ) -> Realm:
        """`attach` for asyncio programs: waits and copies without holding up the loop."""
        if download:
            (await cast("type[Realm]", cls).open_async(configuration, timeout=timeout)).close()
        opener = configuration.opener
        if opener is not None:
            path, key = _attachable(local)
            if path is not None:
                import asyncio  # which programs with local realms only do not load

                await asyncio.to_thread(opener.attach, configuration, path, key, progress)
        return cls.attach(local, configuration)


def _attachable(local: Realm | Configuration | str | Path) -> tuple[str | None, bytes | None]:
    """Return the file and key of a local realm that is to be attached; no file if there is none any more.

    Raises:
        UsageError: It is in use.
    """
    if not isinstance(local, Attaching):
        path, key = (local.path, local.encryption_key) if isinstance(local, Configuration) else (local, None)
        if OpenFile.is_open(path):
            raise UsageError(f"attach: {path} is open; pass the realm itself, or close it")
        return str(path) if Path(path).is_file() else None, key
    realm = local._idle("attach")
    if realm.configuration.changeset_sink is not None:
        raise UsageError(f"attach: {realm.path} is not a local realm; use copy_objects")
    if realm._file.instances > 1:
        raise UsageError(f"attach: {realm.path} is open {realm._file.instances} times; close the other instances")
    return realm._store.path, realm._store.key
