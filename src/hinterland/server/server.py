"""`ObjectServer`: the server as an ordinary Python object."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

import uvicorn

from hinterland.errors import ConfigurationError, TimedOutError, UsageError
from hinterland.server.app import App
from hinterland.server.config import Config
from hinterland.server.http_protocol import ImpatientProtocol
from hinterland.server.issuer import ADMIN_IDENTITY
from hinterland.server.tls import check_tls, reload_tls
from hinterland.store.file_lock import FileLock

__all__ = ["ObjectServer"]

_log = logging.getLogger("hinterland.server")

_HANGUP: Final = getattr(signal, "SIGHUP", None)  # Windows has none

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 60.0
ADMIN_TOKEN_TTL_S: Final = 10 * 365 * 86_400


class _Uvicorn(uvicorn.Server):
    """Tells clients that the server is leaving before their connections are closed."""

    def __init__(self, config: uvicorn.Config, app: App, on_started: Callable[[], object]) -> None:
        super().__init__(config)
        self._app = app
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._app.close_connections()
        await super().shutdown(sockets)


class ObjectServer:
    """A Hinterland server.

    `run` serves until interrupted; `start` and `stop` (or `with`) serve on a background thread; `asgi` is
    for mounting in an application of your own.

    Raises:
        ConfigurationError: The configuration or the data directory is unusable.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._app = App(self.config)
        self._uvicorn: _Uvicorn | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self._failure: BaseException | None = None
        # Two servers on one folder would each believe their own memory of the realms' histories.
        self._lock = FileLock(Path(self.config.data) / "server.lock")

    @property
    def asgi(self) -> App:
        """The server as an ASGI application."""
        return self._app

    @property
    def port(self) -> int:
        """The port it listens on, also when the configuration said 0."""
        if self._socket is None:
            return self.config.port
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """The URL that clients on this machine log in to."""
        scheme = "https" if self.config.tls_certificate else "http"
        address = self.config.address
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(address, address)  # noqa: S104
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"{scheme}://{host}:{self.port}"

    def admin_token(self, *, ttl_s: int = ADMIN_TOKEN_TTL_S) -> str:
        """Return an access token that may do everything; keep it secret."""
        return self._app.tokens.issue("access", ADMIN_IDENTITY, ttl_s=ttl_s, is_admin=True).text

    # -- running ---------------------------------------------------------------------------------

    def run(self, *, on_started: Callable[[], object] | None = None) -> None:
        """Serve until SIGINT or SIGTERM, then stop in good order.

        Args:
            on_started: Called once connections are accepted.

        Raises:
            ConfigurationError: The address cannot be listened on, or another server uses the data folder.
        """
        self._prepare(on_started or (lambda: None))
        assert self._uvicorn is not None
        assert self._socket is not None
        former = None
        if _HANGUP is not None and threading.current_thread() is threading.main_thread():
            former = signal.signal(_HANGUP, self._hang_up)
        try:
            self._uvicorn.run(sockets=[self._socket])
        finally:
            if _HANGUP is not None and former is not None:
                signal.signal(_HANGUP, former)
            self._socket.close()
            self._lock.release()

    def reload_tls(self) -> None:
        """Use the renewed certificate and key for new connections; SIGHUP does the same to `run`.

        Raises:
            ConfigurationError: They cannot be used; the server goes on with those it has.
        """
        context = None if self._uvicorn is None else self._uvicorn.config.ssl
        if context is not None:
            reload_tls(self.config, context)
            _log.info("the TLS certificate was loaded anew")

    def _hang_up(self, _signal: int, _frame: FrameType | None) -> None:
        try:
            self.reload_tls()
        except ConfigurationError as error:
            _log.error("the TLS certificate stays as it is: %s", error)

    def start(self) -> ObjectServer:
        """Serve on a background thread; returns once connections are accepted.

        Raises:
            ConfigurationError: The address cannot be listened on, or another server uses the data folder.
            UsageError: It was started before; make a new server instead.
        """
        if self._thread is not None:
            raise UsageError("the server was started before; make a new ObjectServer")
        started = threading.Event()
        self._prepare(started.set)
        self._thread = threading.Thread(target=self._run_thread, name="hinterland-server", daemon=True)
        self._thread.start()
        if not started.wait(START_TIMEOUT_S):
            raise TimedOutError(f"the server did not start within {START_TIMEOUT_S} s") from self._failure
        return self

    def stop(self) -> None:
        """Stop in good order: clients are told, what was accepted is finished, files are closed."""
        if self._thread is None or self._uvicorn is None:
            return
        self._uvicorn.should_exit = True
        self._thread.join(STOP_TIMEOUT_S)
        if self._thread.is_alive():
            raise TimedOutError(f"the server did not stop within {STOP_TIMEOUT_S} s")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run_thread(self) -> None:
        assert self._uvicorn is not None
        assert self._socket is not None
        try:
            self._uvicorn.run(sockets=[self._socket])
        except BaseException as error:  # noqa: BLE001 - reported by `start`
            self._failure = error
        finally:
            self._socket.close()
            self._lock.release()

    def _prepare(self, on_started: Callable[[], object]) -> None:
        config = self.config
        check_tls(config)
        _space_out_collections()
        if not self._lock.try_acquire():
            raise ConfigurationError(
                f"another server is using the data folder {str(config.data)!r}; stop it, or use another folder"
            )
        try:
            self._socket = _listen(config.address, config.port)
        except ConfigurationError:
            self._lock.release()
            raise
        options = uvicorn.Config(
            self._app,
            http=ImpatientProtocol,
            ws="websockets-sansio",
            ws_max_size=config.message_bytes_max,
            ws_ping_interval=None,  # original clients do not answer pings (wire.md §0 trap 5)
            ws_ping_timeout=None,
            ws_per_message_deflate=False,
            lifespan="on",
            access_log=False,  # it would show tokens, which are part of the URL
            log_level="warning",
            server_header=False,
            timeout_keep_alive=65,
            timeout_graceful_shutdown=10,
            ssl_certfile=None if config.tls_certificate is None else str(config.tls_certificate),
            ssl_keyfile=None if config.tls_key is None else str(config.tls_key),
        )
        self._uvicorn = _Uvicorn(options, self._app, on_started)


def _space_out_collections() -> None:
    """Let Python look for reference cycles less often than after every 700 objects.

    A commit to hundreds of listeners makes thousands of objects that live for a moment; looking through
    all connections for cycles again and again took half of the server's time. Cycles are still found.
    """
    young, middle, old = gc.get_threshold()
    if young:  # 0 means that the program has turned the collector off
        gc.set_threshold(max(young, 50_000), max(middle, 20), max(old, 100))


def _listen(address: str, port: int) -> socket.socket:
    """Return a listening socket; made here so that port 0 is known before serving begins."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # asyncio switches Nagle's algorithm off only if the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(4096)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {address}:{port}: {error.strerror or error}") from error
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener
