"""A MARK asks for everything there is, also for what its session was not told of yet (wire.md §5.3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.server_client import RawClient

from hinterland.changeset.encoder import encode as encode_changeset
from hinterland.changeset.instructions import AddTable, Changeset, CreateObject
from hinterland.protocol.messages import Download, Mark, Upload, UploadEntry
from hinterland.server import Config, ObjectServer, realms
from hinterland.values import ClassKind, PropertyType


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ObjectServer]:
    server = ObjectServer(Config(data=tmp_path, port=0, durable=False))
    server.start()
    yield server
    server.stop()


def test_a_mark_that_overtakes_the_waking_is_answered_after_the_commit(
    server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listeners are woken a slice at a time; here slices are so short that nobody's turn ever comes."""
    changeset = encode_changeset(
        Changeset([AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.INT), CreateObject("Item", 1)])
    )
    token = server.admin_token()
    with RawClient(server.url, token) as writer, RawClient(server.url, token) as listener:
        writer.join("/shared/marks")
        listener.join("/shared/marks")
        monkeypatch.setattr(realms, "WAKE_SLICE_S", -1.0)
        writer.send(Upload(1, 2, 0, 0, (UploadEntry(2, 0, 1, 0, changeset),)))
        assert writer.receive_until(Download).progress.upload_client_version == 2
        listener.send(Mark(1, 2))
        message = listener.receive()
        assert isinstance(message, Download)
        assert [entry.changeset for entry in message.entries] == [changeset]
        assert listener.receive() == Mark(1, 2)
        monkeypatch.undo()
