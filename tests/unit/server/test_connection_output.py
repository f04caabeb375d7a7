"""How a connection writes: at once while the socket takes it, in a task of its own when it does not."""

from __future__ import annotations

import asyncio

from hinterland.protocol.server_connection import ServerConnection
from hinterland.server.connection import ClientConnection
from hinterland.server.tokens import Principal


def make_connection(send) -> ClientConnection:
    principal = Principal("ada", is_admin=False, app="", expires_s=0, token_id="")
    return ClientConnection(
        ServerConnection(user="ada"), None, principal, send, backlog_bytes_max=1 << 20, body_bytes_max=1 << 20
    )


def test_output_is_written_at_once_when_the_socket_takes_it():
    """`pump` has sent everything when it returns."""

    async def main() -> None:
        sent = []

        async def send(event) -> None:
            sent.append(event["bytes"])

        connection = make_connection(send)
        connection.machine.send(b"one")
        connection.machine.send(b"two")
        connection.pump()
        assert sent == [b"one", b"two"]
        assert not connection.machine.is_blocked

    asyncio.run(main())


def test_output_waits_for_a_full_socket_and_keeps_its_order():
    """While the socket is full nothing new is produced; later all is sent, in order, also what came meanwhile."""

    async def main() -> None:
        sent = []
        room = asyncio.Event()

        async def send(event) -> None:
            await room.wait()
            sent.append(event["bytes"])

        connection = make_connection(send)
        connection.machine.send(b"one")
        connection.pump()
        assert connection.machine.is_blocked
        connection.machine.send(b"two")
        connection.pump()
        assert sent == []
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        room.set()
        async with asyncio.timeout(5):
            await task
        assert sent == [b"one", b"two"]

    asyncio.run(main())


def test_a_connection_lost_while_the_socket_is_full_is_no_error():
    """The writing task ends quietly."""

    async def main() -> None:
        gone = asyncio.Event()

        async def send(event) -> None:
            await gone.wait()
            raise OSError("gone")

        connection = make_connection(send)
        connection.machine.send(b"one")
        connection.pump()
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        gone.set()
        async with asyncio.timeout(5):
            await task
        assert not connection.machine.is_blocked

    asyncio.run(main())
