"""Users: who is logged in at which server, kept on disk so that apps start offline.

Source: spec features.md §1.3, §3.1, §3.3, §5.2.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_all
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hinterland.errors import (
    AuthenticationError,
    ConnectionFailedError,
    HinterlandError,
    MultipleUsersError,
    PermissionDeniedError,
    RequestRefusedError,
    StorageError,
    SyncError,
    ValueTypeError,
)
from hinterland.sync.accounts import ApiKeys, UserInfo, read_user_info, update_account
from hinterland.sync.connection import ConnectionTimes
from hinterland.sync.credentials import ADMIN_TOKEN, Credentials
from hinterland.sync.http import check_server_url, quoted, request_json
from hinterland.sync.login_answers import AccessToken, read_login, read_renewal, token_claims
from hinterland.sync.loop import before_exit, in_thread, run_in_thread
from hinterland.sync.permissions import UserPermissions
from hinterland.sync.settings import ClientReset, ErrorHandler, StopPolicy, SyncMode
from hinterland.sync.tls import TLS
from hinterland.sync.user_store import StoredUser, UserStore, user_store

if TYPE_CHECKING:
    from hinterland.realm.configuration import Configuration
    from hinterland.sync.session import Session

__all__ = ["SyncUser"]

log = logging.getLogger("hinterland.sync")

EXPIRY_MARGIN_S: Final = 20.0
REFRESH_TIMEOUT_S: Final = 10.0
REVOKE_WAIT_S: Final = 3.0
SUSPENDED: Final = "UserDisabled"


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
        """All logged-in users by identity; who has that of another one at another server, by "identity@server"."""
        found: dict[str, SyncUser] = {}
        for stored in user_store().load():
            name = stored.identity if stored.identity not in found else f"{stored.identity}@{stored.server}"
            found[name] = _user_of(stored)
        return found


class SyncUser(metaclass=_Directory):
    """Somebody who is logged in at a server. Thread-safe.

    Made by `log_in`, or found in `current` and `all`; the same user is the same object.
    """

    def __init__(self, stored: StoredUser, store: UserStore) -> None:
        """Not for applications: use `log_in`."""
        self._stored = stored
        self._store = store
        self._lock = threading.Lock()
        self._access: AccessToken | None = None
        self._unsaved_token = ""
        self._is_logged_in = True
        self._listeners: list[Callable[[bool], None]] = []

    def __repr__(self) -> str:
        return f"<SyncUser {self.identity!r} at {self.server}>"

    # Logging in

    @classmethod
    def log_in(cls, server_url: str, credentials: Credentials, *, tls: TLS | None = None) -> SyncUser:
        """Log in and return the user, who stays logged in until `log_out`.

        Args:
            server_url: Such as "https://example.org".
            credentials: Made by one of the methods of `Credentials`.
            tls: An authority of your own, or pinned certificates; kept with the user.

        Raises:
            AuthenticationError: The server refused the credentials.
            ConnectionFailedError: The server cannot be reached.
            UntrustedServerError: The server's certificate is not trusted; nothing was sent.
        """
        server = check_server_url(server_url, tls)
        if not isinstance(credentials, Credentials):
            raise ValueTypeError(f"log_in: expected Credentials, such as Credentials.anonymous(), got {credentials!r}")
        if credentials.provider == ADMIN_TOKEN:
            return _remember(_with_tls(_admin(server, credentials.data), tls), None)
        try:
            answer = request_json("POST", f"{server}/auth", {**_body(credentials), "app_id": ""}, tls=tls)
        except ConnectionFailedError:
            raise
        except SyncError as error:
            reason = error.reason if isinstance(error, RequestRefusedError) else ""
            raise AuthenticationError(str(error), reason) from error
        login = read_login(server, answer)
        stored = StoredUser(login.identity, server, login.refresh_token, is_admin=login.is_admin)
        return _remember(_with_tls(stored, tls), login.access)

    @classmethod
    async def log_in_async(cls, server_url: str, credentials: Credentials, *, tls: TLS | None = None) -> SyncUser:
        """`log_in` for asyncio programs."""
        return await in_thread(lambda: cls.log_in(server_url, credentials, tls=tls))

    # Forgotten passwords and new addresses

    @staticmethod
    def request_password_reset(server_url: str, email: str, *, tls: TLS | None = None) -> None:
        """Have the server mail a way to choose a new password, if there is such an account; it does not tell.

        Raises:
            ConnectionFailedError: The server cannot be reached, or too much was asked of it.
            RequestRefusedError: The server has no accounts with passwords, or sends no mail.
        """
        update_account(server_url, email, {"action": "reset_password"}, tls)

    @staticmethod
    async def request_password_reset_async(server_url: str, email: str, *, tls: TLS | None = None) -> None:
        """`request_password_reset` for asyncio programs."""
        await in_thread(update_account, server_url, email, {"action": "reset_password"}, tls)

    @staticmethod
    def complete_password_reset(server_url: str, token: str, new_password: str, *, tls: TLS | None = None) -> None:
        """Choose a new password with the token of the mail, which works once; all logins of the user end.

        Raises:
            RequestRefusedError: The token was used, or is too old, or the password is too weak.
        """
        action = {"action": "complete_reset", "token": token, "new_password": new_password}
        update_account(server_url, "", action, tls)

    @staticmethod
    async def complete_password_reset_async(
        server_url: str, token: str, new_password: str, *, tls: TLS | None = None
    ) -> None:
        """`complete_password_reset` for asyncio programs."""
        action = {"action": "complete_reset", "token": token, "new_password": new_password}
        await in_thread(update_account, server_url, "", action, tls)

    @staticmethod
    def request_email_confirmation(server_url: str, email: str, *, tls: TLS | None = None) -> None:
        """Have the server mail a way to confirm the address once more; see `request_password_reset`."""
        update_account(server_url, email, {"action": "request_email_confirmation"}, tls)

    @staticmethod
    async def request_email_confirmation_async(server_url: str, email: str, *, tls: TLS | None = None) -> None:
        """`request_email_confirmation` for asyncio programs."""
        await in_thread(update_account, server_url, email, {"action": "request_email_confirmation"}, tls)

    @staticmethod
    def confirm_email(server_url: str, token: str, *, tls: TLS | None = None) -> None:
        """Confirm an address with the token of the mail; see `complete_password_reset`."""
        update_account(server_url, "", {"action": "confirm_email", "token": token}, tls)

    @staticmethod
    async def confirm_email_async(server_url: str, token: str, *, tls: TLS | None = None) -> None:
        """`confirm_email` for asyncio programs."""
        await in_thread(update_account, server_url, "", {"action": "confirm_email", "token": token}, tls)

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

    @property
    def tls(self) -> TLS | None:
        """How the user makes sure of the server."""
        return self._stored.tls

    @property
    def sessions(self) -> list[Session]:
        """The sessions of the user's open realms in this process."""
        from hinterland.sync.session import SessionRegistry  # it needs this module

        return SessionRegistry.of_user(self)

    @property
    def permissions(self) -> UserPermissions:
        """Who may open which realm: granted, applied, offered, accepted."""
        return UserPermissions(self._request)

    @property
    def api_keys(self) -> ApiKeys:
        """Secrets by which programs log in as this user."""
        return ApiKeys(self._request)

    # Logging out

    def log_out(self) -> None:
        """Stop the user's sessions and forget the tokens; realms stay on disk and open.

        The server is told as well, in the background, if it can be reached.
        """
        self._log_out()

    async def log_out_async(self) -> None:
        """`log_out`, and wait until the server knows or cannot be reached."""
        await in_thread(lambda: wait_for_all([self._log_out()]))

    def _log_out(self) -> Future[None]:
        done: Future[None] = Future()
        done.set_result(None)
        if not self._is_logged_in:
            return done
        stored = self._store.find(self._stored)
        token = self._unsaved_token or ("" if stored is None else stored.refresh_token)
        self.forget()
        if self._stored.is_token or not token:
            return done
        revoking = run_in_thread(_revoke, self.server, token, self.tls)
        _revocations.add(revoking)
        revoking.add_done_callback(_revocations.discard)
        return revoking

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

    # The account

    def change_password(self, password: str, *, user_id: str | None = None) -> None:
        """Change this user's password; all other logins end. An admin may name another user.

        Raises:
            PermissionDeniedError: The user is no admin, and the other one is another.
            RequestRefusedError: The user has no password, or it is too weak.
        """
        body: dict[str, object] = {"data": {"new_password": password}}
        if user_id is not None:
            body["user_id"] = user_id
        self._request("PUT", "/auth/password", body)

    async def change_password_async(self, password: str, *, user_id: str | None = None) -> None:
        """`change_password` for asyncio programs."""
        await in_thread(lambda: self.change_password(password, user_id=user_id))

    def link(self, credentials: Credentials) -> UserInfo:
        """Give the user another way to log in; identity and realms stay. So an anonymous user becomes a real one.

        Raises:
            AuthenticationError: The credentials are wrong.
            RequestRefusedError: They are those of another user ("AccountNameInUse").
        """
        if not isinstance(credentials, Credentials):
            raise ValueTypeError(f"link: expected Credentials, got {credentials!r}")
        # One try: 401 speaks of the credentials, so a fresh token comes first.
        return read_user_info(self._send("POST", "/auth/link", _body(credentials), self.access_token()))

    async def link_async(self, credentials: Credentials) -> UserInfo:
        """`link` for asyncio programs."""
        return await in_thread(self.link, credentials)

    def info(self) -> UserInfo:
        """Return what the server knows of this user: accounts, metadata, roles."""
        return read_user_info(self._request("GET", f"/auth/users/{quoted(self.identity)}"))

    async def info_async(self) -> UserInfo:
        """`info` for asyncio programs."""
        return await in_thread(self.info)

    def retrieve_user(self, provider: str, provider_id: str) -> UserInfo:
        """Return the user of an account; for admins.

        Raises:
            PermissionDeniedError: The user is no admin.
            RequestRefusedError: There is no such account.
        """
        return read_user_info(self._request("GET", f"/auth/users/{quoted(provider)}/{quoted(provider_id)}"))

    async def retrieve_user_async(self, provider: str, provider_id: str) -> UserInfo:
        """`retrieve_user` for asyncio programs."""
        return await in_thread(self.retrieve_user, provider, provider_id)

    # Tokens

    def refresh(self) -> None:
        """Get a new access token now, and with it what the server says about the user."""
        with self._lock:
            self._check_logged_in()
            if not self._stored.is_token:
                self._refresh()

    async def refresh_async(self) -> None:
        """`refresh` for asyncio programs."""
        await in_thread(self.refresh)

    def access_token(self, refused: str | None = None) -> str:
        """Return a token that is valid for a while; blocks when the server must be asked.

        Args:
            refused: A token that the server did not accept; the answer is another one.

        Raises:
            AuthenticationError: The user must log in again.
            ConnectionFailedError: The server cannot be reached.
        """
        with self._lock:
            self._check_logged_in()
            if self._stored.is_token:
                if refused is not None:
                    raise AuthenticationError(f"{self.server} refuses the admin token")
                return self._token()
            access = self._access
            if access is None or time.time() > access.expires_at - EXPIRY_MARGIN_S or refused in ("", access.text):
                access = self._refresh()
            return access.text

    def expire_access_token(self) -> None:
        """Ask the server for another one at the next occasion."""
        self._access = None

    def _check_logged_in(self) -> None:
        if not self._is_logged_in:
            raise AuthenticationError(f"user {self.identity} has logged out")

    def _token(self) -> str:
        """Return the refresh token as it is now: another process may have got a new one.

        Raises:
            AuthenticationError: There is none.
        """
        stored = self._store.find(self._stored)
        if stored is None:
            raise AuthenticationError(f"user {self.identity} has logged out in another process; log in again")
        token = self._unsaved_token or stored.refresh_token
        if not token:
            raise AuthenticationError(f"the system's keyring has no token of user {self.identity}; log in again")
        return token

    def _refresh(self) -> AccessToken:
        """Renew both tokens. The new refresh token is on disk before anything uses the new access token.

        If the answer is lost, the old token is still there, and the server lets it be used once more.
        """
        with self._store.token_lock(self._stored):
            body = {"provider": "realm", "data": self._token(), "app_id": "", "rotate": True}
            try:
                answer = self._send("POST", "/auth", body, None, REFRESH_TIMEOUT_S)
            except ConnectionFailedError:
                raise
            except AuthenticationError as error:
                advice = "is suspended" if error.reason == SUSPENDED else "must log in again"
                raise AuthenticationError(f"user {self.identity} {advice}: {error}", error.reason) from error
            except (SyncError, PermissionDeniedError) as error:
                raise AuthenticationError(f"user {self.identity} must log in again: {error}") from error
            access, rotated = read_renewal(answer)
            self._keep(access, rotated)
        self._access = access
        return access

    def _keep(self, access: AccessToken, rotated: str) -> None:
        is_admin = self._stored.is_admin if access.is_admin is None else access.is_admin
        token = rotated or self._unsaved_token
        if not token and is_admin == self._stored.is_admin:
            return
        try:
            self._stored = replace(self._stored, refresh_token=token or self._token(), is_admin=is_admin)
            self._store.update(self._stored)
        except StorageError as error:
            self._unsaved_token = token
            log.warning("the new token of user %s is kept in memory only: %s", self.identity, error)
        else:
            self._unsaved_token = ""

    def _request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Send a request to the server's HTTP API; once more, with a new token, if the token is refused."""
        token = self.access_token()
        try:
            return self._send(method, path, body, token)
        except AuthenticationError as error:
            if self._stored.is_token or error.reason == SUSPENDED:
                raise
            return self._send(method, path, body, self.access_token(refused=token))

    def _send(
        self, method: str, path: str, body: Mapping[str, object] | None, token: str | None, timeout_s: float = 15.0
    ) -> dict[str, Any]:
        return request_json(method, self.server + path, body, token=token, timeout_s=timeout_s, tls=self.tls)

    # Realms

    def configuration(
        self,
        path: str,
        schema: Sequence[type[Any]],
        *,
        error_handler: ErrorHandler | None = None,
        client_reset: ClientReset | None = None,
        stop_policy: StopPolicy = "after-upload",
        times: ConnectionTimes | None = None,
        sync: SyncMode = "full",
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
            sync: "full" for all of the realm, "query" for what the subscriptions of this device select; the first
                device decides which of both a realm is.
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
            sync=sync,
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


def _remember(stored: StoredUser, access: AccessToken | None) -> SyncUser:
    store = user_store()
    with store.token_lock(stored):  # a renewal of the login before must not overwrite this one
        store.save(stored)
    user = _user_of(stored)
    user._stored = stored  # logged in again: the newer token counts
    user._unsaved_token = ""
    user._access = access
    user._tell(is_logged_in=True)
    return user


def _admin(server: str, token: str) -> StoredUser:
    claims = token_claims(token)
    identity = claims.get("identity") or claims.get("sub") or "__admin"
    return StoredUser(str(identity), server, token, is_admin=True, is_token=True)


def _with_tls(stored: StoredUser, tls: TLS | None) -> StoredUser:
    return stored if tls is None else replace(stored, ca_file=tls.ca_file, pins=tls.pins)


def _body(credentials: Credentials) -> dict[str, object]:
    return {
        "provider": credentials.provider,
        "data": credentials.data,
        "user_info": dict(credentials.user_info),
    }


_revocations: set[Future[None]] = set()


def _revoke(server: str, token: str, tls: TLS | None) -> None:
    try:
        request_json("POST", f"{server}/auth/revoke", {"token": token}, tls=tls)
    except HinterlandError as error:
        log.info("%s could not be told of the log-out, so the login ends by its age: %s", server, error)


def _finish_revocations() -> None:
    """Give log-outs that are under way a moment: short programs log out and exit."""
    wait_for_all(list(_revocations), REVOKE_WAIT_S)


before_exit(_finish_revocations)
