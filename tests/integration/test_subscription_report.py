"""What operators learn of the subscriptions of a query-based realm: by command and over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.flexible_client import FlexibleClient
from tests.integration.server_client import RawClient, http

from hinterland.changeset.instructions import AddColumn, AddTable, CreateObject, Instruction, Update
from hinterland.cli import main
from hinterland.protocol.messages import Bind, IdentGrant
from hinterland.server import Config, ObjectServer
from hinterland.values import ClassKind, CollectionType, Link, PropertyType

REALM = "/shared/board"
SCHEMA: list[Instruction] = [
    AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("Item", "n", PropertyType.INT, False, CollectionType.SINGLE),
    AddColumn("Item", "name", PropertyType.STRING, False, CollectionType.SINGLE),
    AddColumn("Item", "next", PropertyType.LINK, True, CollectionType.SINGLE, "Item"),
]


def command(data: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[dict[str, Any]]:
    """Return what `hinterland realms subscriptions --json` prints."""
    assert main(["realms", "subscriptions", REALM, "--data", str(data), "--json", *options]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_subscriptions_are_listed_with_those_who_ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Equal queries are one row; cost, users, who is connected; the same from the files of a stopped server."""
    with ObjectServer(Config(data=tmp_path, port=0, durable=False)) as server:
        with FlexibleClient(server) as one, FlexibleClient(server) as other:
            one.open()
            objects = [[CreateObject("Item", key), Update("Item", key, "n", [], key)] for key in range(10)]
            one.upload(*SCHEMA, *(it for each in objects for it in each))
            one.ask(1, '{"Item":"(n > 3)"}')
            other.open()
            other.ask(1, '{"Item":"(n > 3)"}')
            other.ask(2, json.dumps({"Item": '(name CONTAINS "x")'}))
            other.upload()
            with FlexibleClient(server) as third:
                third.open()
                third.ask(1, '{"Item":"(TRUEPREDICATE)"}')
                answer = http("GET", f"{server.url}/realms/subscriptions{REALM}", token=server.admin_token())
        assert answer.status == 200
        by_query = {one["query"]: one for one in answer.content["subscriptions"]}
        assert answer.content["total"] == len(by_query) == 3
        assert {query: (one["objects"], one["plan"], one["connected"]) for query, one in by_query.items()} == {
            "(n > 3)": (6, "index", 1),
            '(name CONTAINS "x")': (0, "scan", 1),
            "(TRUEPREDICATE)": (10, "all", 1),
        }
        live = command(tmp_path, capsys)
        assert {one["query"] for one in live} == set(by_query)
        limited = http("GET", f"{server.url}/realms/subscriptions{REALM}?limit=1", token=server.admin_token())
        assert (len(limited.content["subscriptions"]), limited.content["total"]) == (1, 3)
    stopped = command(tmp_path, capsys)
    assert [one["query"] for one in stopped if one["plan"] == "all"] == ["(TRUEPREDICATE)"]
    assert all(one["files"] == 1 and one["users"] == 1 and not one["stale"] for one in stopped)
    assert main(["realms", "subscriptions", REALM, "--data", str(tmp_path)]) == 0
    assert "(name CONTAINS" in capsys.readouterr().out


def test_realms_without_subscriptions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt path and a full realm are errors; over HTTP the latter has none."""
    with ObjectServer(Config(data=tmp_path, port=0, durable=False)) as server:
        with RawClient(server.url, server.admin_token()) as client:
            client.send(Bind(1, REALM, need_ident=True))
            assert isinstance(client.receive(), IdentGrant)
        answer = http("GET", f"{server.url}/realms/subscriptions{REALM}", token=server.admin_token())
        assert answer.content == {"subscriptions": [], "total": 0}
    for path, words in (("/no", "there is no realm"), (REALM, "not query-based")):
        assert main(["realms", "subscriptions", path, "--data", str(tmp_path)]) == 2
        assert words in capsys.readouterr().err


def test_what_subscriptions_bring_along_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A closure is a row of its own, with its paths and how many objects it adds."""
    part = {"query": "n == 1", "links": "closure", "include": ["@links.Item.next"]}
    with ObjectServer(Config(data=tmp_path, port=0, durable=False)) as server, FlexibleClient(server) as client:
        client.open()
        links = [Update("Item", key, "next", [], Link("Item", key + 1)) for key in (0, 1)]
        objects = [it for key in range(4) for it in (CreateObject("Item", key), Update("Item", key, "n", [], key))]
        client.upload(*SCHEMA, *objects, *links)
        client.ask(1, json.dumps({"Item": [part, {"query": "n == 1"}]}))
        answer = http("GET", f"{server.url}/realms/subscriptions{REALM}", token=server.admin_token())
        rows = sorted(answer.content["subscriptions"], key=lambda one: one["links"])
        assert [(one["links"], one["include"], one["objects"], one["reached"]) for one in rows] == [
            ("closure", ["@links.Item.next"], 1, 2),
            ("none", [], 1, 0),
        ]
    assert {one["links"] for one in command(tmp_path, capsys)} == {"closure @links.Item.next", "none"}
