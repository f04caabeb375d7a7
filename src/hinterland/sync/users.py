"""Users: who is logged in at which server, kept on disk so that apps start offline.

Source: spec features.md §1.3, §3.1, §3.3, §5.2.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hinterland.errors import (
    AuthenticationError,
    ConnectionFailedError,
    HinterlandError,
    MultipleUsersError,
    SyncError,
    ValueTypeError,
)
from hinterland.sync.connection import ConnectionTimes
from hinterland.sync.credentials import ADMIN_TOKEN, Credentials
from hinterland.sync.http import check_server_url, request_json
from hinterland.sync.loop import run_in_thread
from hinterland.sync.settings import ClientReset, ErrorHandler, StopPolicy
from hinterland.sync.user_store import StoredUser, UserStore, user_store

if TYPE_CHECKING:
    from hinterland.realm.configuration import Configuration

__all__ = ["SyncUser"]

EXPIRY_MARGIN_S: Final = 20.0


class _Directory(type):
    """Gives `SyncUser` its class-level properties."""

    @property
    def current(cls) -> SyncUser | None:
        """The logged-in user; None when nobody is.

        Raises:
            MultipleUsersError: Several are; use `SyncUser.all`.
        """
        users = SyncUser.all
        if len(users) > 1:
            raise MultipleUsersError(f"{len(users)} users are logged in; choose one of SyncUser.all")
        return next(iter(users.values()), None)

    @property
    def all(cls) -> dict[str, SyncUser]:
        """All logged-in users by identity."""
        return {stored.identity: _user_of(stored) for stored in user_store().load()}


class SyncUser(metaclass=_Directory):
    """Somebody who is logged in at a server. Thread-safe.

    Made by `log_in`, or found in `current` and `all`; the same user is the same object.
    """

    def __init__(self, stored: StoredUser, store: UserStore) -> None:
        """Not for applications: use `log_in`."""
        self._stored = stored
        self._store = store
        self._lock = threading.Lock()
        self._access_token = ""
        self._expires_at = 0.0
        self._is_logged_in = True
        self._listeners: list[Callable[[bool], None]] = []

    def __repr__(self) -> str:
        return f"<SyncUser {self.identity!r} at {self.server}>"

    # Logging in

    @classmethod
    def log_in(cls, server_url: str, credentials: Credentials) -> SyncUser:
        """Log in and return the user, who stays logged in until `log_out`.

        Raises:
            AuthenticationError: The server refused the credentials.
            ConnectionFailedError: The server cannot be reached.
        """
        server = check_server_url(server_url)
        if not isinstance(credentials, Credentials):
            raise ValueTypeError(f"log_in: expected Credentials, such as Credentials.anonymous(), got {credentials!r}")
        if credentials.provider == ADMIN_TOKEN:
            return _remember(_admin(server, credentials.data), None)
        body = {
            "provider": credentials.provider,
            "data": credentials.data,
            "user_info": dict(credentials.user_info),
            "app_id": "",
        }
        try:
            answer = request_json("POST", f"{server}/auth", body)
        except ConnectionFailedError:
            raise
        except SyncError as error:
            raise AuthenticationError(str(error)) from error
        return _remember(*_read_login(server, answer))

    @classmethod
    async def log_in_async(cls, server_url: str, credentials: Credentials) -> SyncUser:
        """`log_in` for asyncio programs."""
        return await asyncio.wrap_future(run_in_thread(cls.log_in, server_url, credentials))

    # Who it is

    @property
    def identity(self) -> str:
        """The user's id, unique at the server; what `~` in paths stands for."""
        return self._stored.identity

    @property
    def server(self) -> str:
        """The server's URL."""
        return self._stored.server

    @property
    def is_admin(self) -> bool:
        """Whether the user may do everything at the server."""
        return self._stored.is_admin

    @property
    def is_logged_in(self) -> bool:
        """Whether the user is still logged in."""
        return self._is_logged_in

    # What can be done

    def log_out(self) -> None:
        """Stop the user's sessions and forget the tokens; realms stay on disk and open.

        The server is told as well if it can be reached.
        """
        if not self._is_logged_in:
            return
        token = self._stored.refresh_token
        self.forget()
        if not self._stored.is_token:
            run_in_thread(_revoke, self.server, token)

    def forget(self) -> None:
        """Log out here only; the server has done so already."""
        if not self._is_logged_in:
            return
        self._is_logged_in = False
        self._store.remove(self._stored)
        with _known_lock:
            _known.pop((self._store.folder, self.server, self.identity), None)
        self._tell(is_logged_in=False)

    def subscribe(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Call `listener(is_logged_in)` after the user logs out, or in again; return the way to stop.

        Calls happen on whatever thread that happens on; the listener must return at once.
        """
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    def _tell(self, *, is_logged_in: bool) -> None:
        for listener in tuple(self._listeners):
            listener(is_logged_in)

    def change_password(self, password: str, *, user_id: str | None = None) -> None:
        """Change this user's password; an admin may name another user."""
        body: dict[str, object] = {"data": {"new_password": password}}
        if user_id is not None:
            body["user_id"] = user_id
        request_json("PUT", f"{self.server}/auth/password", body, token=self.access_token())

    def refresh(self) -> None:
        """Get a new access token now, and with it what the server says about the user."""
        with self._lock:
            self._refresh()

    def access_token(self, refused: str | None = None) -> str:
        """Return a token that is valid for a while; blocks when the server must be asked.

        Args:
            refused: A token that the server did not accept; the answer is another one.

        Raises:
            AuthenticationError: The user must log in again.
            ConnectionFailedError: The server cannot be reached.
        """
        with self._lock:
            if not self._is_logged_in:
                raise AuthenticationError(f"user {self.identity} has logged out")
            if self._stored.is_token:
                if refused is not None:
                    raise AuthenticationError(f"{self.server} refuses the admin token")
                return self._stored.refresh_token
            is_stale = time.time() > self._expires_at - EXPIRY_MARGIN_S
            if is_stale or refused in ("", self._access_token):
                self._refresh()
            return self._access_token

    def expire_access_token(self) -> None:
        """Ask the server for another one at the next occasion."""
        self._expires_at = 0.0

    def _refresh(self) -> None:
        body = {"provider": "realm", "data": self._stored.refresh_token, "app_id": ""}
        try:
            answer = request_json("POST", f"{self.server}/auth", body)
        except ConnectionFailedError:
            raise
        except HinterlandError as error:
            raise AuthenticationError(f"user {self.identity} must log in again: {error}") from error
        self._take_token(*_read_access_token(answer))

    def _take_token(self, token: str, expires_at: float) -> None:
        self._access_token = token
        self._expires_at = expires_at

    def configuration(
        self,
        path: str,
        schema: Sequence[type[Any]],
        *,
        error_handler: ErrorHandler | None = None,
        client_reset: ClientReset | None = None,
        stop_policy: StopPolicy = "after-upload",
        times: ConnectionTimes | None = None,
        **options: Any,
    ) -> Configuration:
        """Return how to open the realm at `path` of the server, synchronised on behalf of this user.

        Args:
            path: Where the realm is on the server; `~` stands for the user's identity.
            schema: The classes.
            error_handler: Called with (session, error) on a background thread; default: logging.
            client_reset: What to do when the server cannot continue from the local copy.
            stop_policy: When the session ends after the last `close`: "after-upload" of what is there,
                "immediately", or "never" while the process lives.
            times: Timers of the connection; those of the user's first open realm count.
            options: Further fields of `Configuration`, such as `schema_version`.
        """
        from hinterland.sync.configuration import synced_configuration  # it needs this module

        return synced_configuration(
            self,
            path,
            schema,
            error_handler=error_handler,
            client_reset=client_reset,
            stop_policy=stop_policy,
            times=times,
            **options,
        )

    @property
    def realm_folder(self) -> Path:
        """Where the user's realm files are."""
        return self._store.realm_folder(self._stored)


_known: dict[tuple[Path, str, str], SyncUser] = {}
_known_lock = threading.Lock()


def _user_of(stored: StoredUser) -> SyncUser:
    """Return the one object for a user."""
    store = user_store()
    name = (store.folder, stored.server, stored.identity)
    with _known_lock:
        user = _known.get(name)
        if user is None:
            user = _known[name] = SyncUser(stored, store)
        return user


def _remember(stored: StoredUser, access: tuple[str, float] | None) -> SyncUser:
    user_store().save(stored)
    user = _user_of(stored)
    user._stored = stored  # logged in again: the newer token counts
    user.expire_access_token()
    if access is not None:
        user._take_token(*access)
    user._tell(is_logged_in=True)
    return user


def _admin(server: str, token: str) -> StoredUser:
    claims = token_claims(token)
    identity = claims.get("identity") or claims.get("sub") or "__admin"
    return StoredUser(str(identity), server, token, is_admin=True, is_token=True)


def _revoke(server: str, token: str) -> None:
    try:
        request_json("POST", f"{server}/auth/revoke", {"token": token})
    except HinterlandError:
        return  # the token is forgotten here; the server's copy expires


def _read_login(server: str, answer: dict[str, Any]) -> tuple[StoredUser, tuple[str, float] | None]:
    refresh, data = _token_of(answer, "refresh_token")
    claims = token_claims(refresh)
    identity = data.get("identity") or answer.get("user_id") or claims.get("sub")
    if not refresh or not identity:
        raise AuthenticationError(f"{server} answered the login without a token; is this a Hinterland server?")
    is_admin = bool(data.get("is_admin", answer.get("is_admin", claims.get("is_admin", False))))
    stored = StoredUser(str(identity), server, refresh, is_admin=is_admin)
    return stored, _read_access_token(answer) if "access_token" in answer else None


def _read_access_token(answer: dict[str, Any]) -> tuple[str, float]:
    token, data = _token_of(answer, "access_token")
    if not token:
        raise AuthenticationError("the server answered without an access token")
    expires = token_claims(token).get("exp", data.get("expires"))
    return token, float(expires) if isinstance(expires, (int, float)) else time.time() + 60.0


def _token_of(answer: dict[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """Read a token given as text, or as {"token": text, "token_data": {...}}."""
    value = answer.get(name)
    if isinstance(value, dict):
        data = value.get("token_data")
        return str(value.get("token", "")), data if isinstance(data, dict) else {}
    return str(value or ""), {}


def token_claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT, unverified: they only tell us when to ask for the next one."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = json.loads(raw)
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}
