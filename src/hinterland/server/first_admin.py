"""The first admin, from the configuration: so that a container needs no second command."""

from __future__ import annotations

import logging
import time
import uuid

from hinterland.errors import ConfigurationError, DuplicateKeyError
from hinterland.server.config import Config
from hinterland.server.directory import Directory
from hinterland.server.password_hashes import PasswordHashes
from hinterland.server.passwords import PASSWORD, Passwords
from hinterland.server.problems import ApiError

__all__ = ["make_first_admin"]

_log = logging.getLogger("hinterland.server")


def make_first_admin(config: Config, directory: Directory, passwords: Passwords) -> None:
    """Make the admin that the configuration names, unless there is an account of that name.

    Raises:
        ConfigurationError: Name or password are unsuitable.
    """
    if config.admin_user is None or config.admin_password is None:
        return
    try:
        name = passwords.check_name(config.admin_user)
        passwords.check_new(config.admin_password)
    except ApiError as error:
        raise ConfigurationError(f"admin_user or admin_password: {error}") from None
    if directory.users.account(PASSWORD, name) is not None:
        return
    hashes = PasswordHashes()
    hashed = hashes.hash_now(config.admin_password)
    hashes.close()
    identity = uuid.uuid4().hex
    now_s = int(time.time())
    try:
        directory.users.add(
            identity, PASSWORD, name, now_s=now_s, password_hash=hashed, is_admin=True, is_confirmed=True
        )
    except DuplicateKeyError:
        return  # another server on the same directory was quicker
    directory.audit.add("configuration", "user.create", identity, {"admin": True}, now_s=now_s)
    _log.warning("admin %r was made; take HINTERLAND_ADMIN_PASSWORD out of the environment now", name)
