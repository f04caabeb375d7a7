"""Results of new subscriptions that are large, or wanted by many at once."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from random import Random

from tests.integration.flexible_client import FlexibleClient

from hinterland.changeset.instructions import AddColumn, AddTable, CreateObject, Instruction, Update
from hinterland.protocol.messages import BatchState, FlexibleDownload, Mark, QueryChange
from hinterland.server import Config, ObjectServer
from hinterland.values import ClassKind, CollectionType, PropertyType

SCHEMA: list[Instruction] = [
    AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("Item", "data", PropertyType.BINARY, False, CollectionType.SINGLE),
]
EVERYTHING = '{"Item":"(_id >= 0)"}'
OBJECTS = 60


def fill(server: ObjectServer) -> dict[int, bytes]:
    """Make a realm of some megabytes that cannot be compressed; return what its objects hold."""
    random = Random(1)
    content = {key: random.randbytes(50_000) for key in range(OBJECTS)}
    with FlexibleClient(server) as writer:
        writer.open()
        writer.upload(*SCHEMA)
        for key, data in content.items():
            writer.upload(CreateObject("Item", key), Update("Item", key, "data", [], data))
        writer.send(Mark(1, 9))
        writer.until_mark()
    return content


def values(instructions: list[Instruction]) -> dict[object, object]:
    """Return what a bootstrap gives objects."""
    return {one.key: one.value for one in instructions if isinstance(one, Update)}


def test_a_large_bootstrap_comes_in_parts_and_leaves_nothing(tmp_path: Path) -> None:
    """The estimate grows to 1; what lay on disk meanwhile is gone, also when a client leaves in the middle."""
    with ObjectServer(Config(data=tmp_path, port=0, durable=False)) as server:
        content = fill(server)
        with FlexibleClient(server) as hasty:
            hasty.open()
            hasty.send(QueryChange(1, 1, EVERYTHING))
            assert isinstance(hasty.receive(), FlexibleDownload)
        with FlexibleClient(server) as reader:
            reader.open()
            reader.send(QueryChange(1, 1, EVERYTHING), Mark(1, 2))
            parts: list[FlexibleDownload] = []
            while isinstance(message := reader.receive(), FlexibleDownload):
                parts.append(message)
            assert isinstance(message, Mark)
            parts = [one for one in parts if one.batch_state is not BatchState.STEADY]
            assert [one.batch_state for one in parts] == [BatchState.MORE] * (len(parts) - 1) + [BatchState.LAST]
            estimates = [one.estimate for one in parts]
            assert len(parts) > 2
            assert (estimates, estimates[-1]) == (sorted(estimates), 1.0)
            assert values([it for one in parts for it in reader.take(one)]) == content
    assert {one.suffix for one in tmp_path.glob("realms/**/*") if one.is_file()} <= {".hldb"}


def test_all_are_served_although_few_at_the_same_time(tmp_path: Path) -> None:
    """One after the other, also past one that asked, and left without reading."""
    with ObjectServer(Config(data=tmp_path, port=0, durable=False, bootstraps_max=1)) as server:
        content = fill(server)
        with ExitStack() as stack:
            clients = [stack.enter_context(FlexibleClient(server)) for _ in range(4)]
            with FlexibleClient(server) as hasty:
                for client in (hasty, *clients):
                    client.open()
                for client in (hasty, *clients):
                    client.send(QueryChange(1, 1, EVERYTHING), QueryChange(1, 2, '{"Item":"(_id < 5)"}'), Mark(1, 2))
            for client in reversed(clients):
                assert values(client.until_mark()) == content
