"""What a data folder needs to say who somebody is: its directory, its keys, and what issues tokens.

The server and the command line open it alike; both may have it open at the same time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from hinterland.errors import StorageError
from hinterland.server.config import Config
from hinterland.server.directory import SqliteDirectory, open_directory
from hinterland.server.issuer import Issuer
from hinterland.server.keys import KeySet
from hinterland.server.layout import PATH_SETTING, DataDirectory
from hinterland.server.tokens import Tokens
from hinterland.store.store import Store

__all__ = ["Office"]


class Office:
    """See the module. Close it after use.

    Args:
        config: The data folder and the lifetimes of tokens.
        clock: Gives Unix time in seconds.

    Raises:
        ConfigurationError: The data folder cannot be used.
        StorageError: The directory cannot be read.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self.data = DataDirectory(config.data)
        self.keys = KeySet(self.data.keys_folder, retired_ttl_s=config.refresh_token_ttl_s, clock=clock)
        self.tokens = Tokens(self.keys, clock)
        self.directory: SqliteDirectory = open_directory(
            self.data.directory_file,
            durable=config.durable,
            former=self.data.former_users_file,
            realm_paths=lambda: _realm_paths(self.data),
        )
        self.issuer = Issuer(
            self.directory,
            self.tokens,
            access_ttl_s=config.access_token_ttl_s,
            refresh_ttl_s=config.refresh_token_ttl_s,
            rotation_grace_s=config.rotation_grace_s,
            clock=clock,
        )

    def close(self) -> None:
        """Close the directory; closing twice is harmless."""
        self.directory.close()


def _realm_paths(data: DataDirectory) -> Iterator[str]:
    """Yield the paths of the realms that were made before there was a list of them."""
    for path, file in data.realm_files():
        if path is not None:
            yield path
            continue
        try:
            store = Store.open(file, read_only=True)
        except StorageError:
            continue  # it is listed when somebody opens it
        try:
            yield str(store.setting(PATH_SETTING))
        finally:
            store.close()
