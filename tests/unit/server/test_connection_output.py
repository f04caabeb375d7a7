"""How a connection writes: at once while the socket takes it, in a task of its own when it does not."""

from __future__ import annotations

import asyncio

from hinterland.protocol.server_connection import ServerConnection
from hinterland.server.connection import ClientConnection
from hinterland.server.tokens import Principal


def make_connection(send) -> ClientConnection:
    principal = Principal("ada", is_admin=False, app="", expires_s=0, token_id="")
    return ClientConnection(
        ServerConnection(user="ada"),
        None,
        principal,
        send,
        register=None,
        backlog_bytes_max=1 << 20,
        body_bytes_max=1 << 20,
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


def test_an_unexpected_error_ends_the_connection_and_nothing_else():
    """`pump` serves many connections in one go, so it never raises."""

    async def main() -> None:
        made: asyncio.Future[ClientConnection] = asyncio.get_running_loop().create_future()

        async def send(event) -> None:
            raise ValueError("unexpected")

        async def serve() -> None:
            made.set_result(make_connection(send))
            await asyncio.Event().wait()

        task = asyncio.create_task(serve())
        connection = await made
        connection.machine.send(b"one")
        connection.pump()
        async with asyncio.timeout(5):
            await asyncio.wait({task})
        assert task.cancelled()

    asyncio.run(main())


def test_output_that_the_close_frame_overtakes_is_forgotten():
    """ASGI servers raise RuntimeError for what is sent after the close frame."""

    async def main() -> None:
        sent = []
        closed = asyncio.Event()

        async def send(event) -> None:
            if event["type"] == "websocket.close":
                sent.append(event["type"])
                closed.set()
                return
            await closed.wait()
            raise RuntimeError("after sending 'websocket.close'")

        connection = make_connection(send)
        connection.machine.send(b"one")
        connection.pump()
        connection.fail(100, "the server is shutting down")
        async with asyncio.timeout(5):
            results = await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
        assert sent == ["websocket.close"]
        assert not [one for one in results if one is not None]

    asyncio.run(main())
