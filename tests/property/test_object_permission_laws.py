"""I7 inside of query-based realms: whatever is granted, ruled and written meanwhile, nobody is sent what they may not read.

Several connections are driven through the server's ASGI application; a spy looks at all bytes that the
server hands to the sockets, at the moment it does so. Contents are markers that can be recognised anywhere.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.model.access import linked, permission_id

from hinterland.changeset.encoder import encode as encode_changeset
from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayErase,
    Changeset,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.permissions.system_classes import SYSTEM_QUERIES
from hinterland.protocol.codec import offered_subprotocols
from hinterland.protocol.messages import (
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    IdentGrant,
    JsonError,
    LogMessage,
    Mark,
    Message,
    QueryChange,
    SyncProgress,
    Unbind,
    Unbound,
    Upload,
    UploadEntry,
    encode,
    parse_from_server,
)
from hinterland.server import Config
from hinterland.server.access import AccessLevel, Grant, GranteeKind
from hinterland.server.app import App
from hinterland.values import ClassKind, CollectionType, Link, PropertyType

TIMEOUT_S = 60
PATH = "/shared/ward"
USERS = ("ada", "bob")
KEYS = tuple("abcd")
ROLES = ("everyone", "crew", "night")
SINGLE, LIST = CollectionType.SINGLE, CollectionType.LIST
SCHEMA: list[Instruction] = [
    AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.STRING),
    AddColumn("Item", "ward", PropertyType.STRING, True, SINGLE),
    AddColumn("Item", "text", PropertyType.STRING, True, SINGLE),
    AddColumn("Item", "secret", PropertyType.STRING, True, SINGLE),
    AddColumn("Item", "lines", PropertyType.STRING, False, LIST),
    AddColumn("Item", "permissions", PropertyType.LINK, False, LIST, "__Permission"),
]
NO_RULES = ""
BY_WARD = "[[classes.Item]]\nread = 'ward == $user.custom.ward'\n[[default]]\nwrite = true"
NO_SECRETS = "[[classes.Item]]\nfields.secret = { read = false }\nfields.lines = { read = false }"
DOCUMENTS = (NO_RULES, BY_WARD, NO_SECRETS)
QUERIES = ("FALSEPREDICATE", "TRUEPREDICATE", "ward == 'A'", "ward == 'B'", "text != NULL")

_find_markers = re.compile(rb"<([a-d])([tsl])#(\d+)>").findall


@dataclass
class Law:
    """Who may read what, kept by the test itself."""

    rules: str = NO_RULES
    wards: dict[str, str] = field(default_factory=lambda: {"ada": "A", "bob": "B"})
    members: dict[str, list[str]] = field(default_factory=lambda: {"crew": [], "night": []})
    lists: dict[str, list[str]] = field(default_factory=lambda: {key: ["everyone"] for key in KEYS})
    places: dict[str, str] = field(default_factory=lambda: dict.fromkeys(KEYS, "A"))

    def may_read(self, user: str, key: str, kind: str) -> bool:
        """Whether somebody may read a property of an object; `kind` is its initial."""
        if user == "root":
            return True
        if self.rules == NO_SECRETS and kind in "sl":
            return False
        if self.rules == BY_WARD and self.places[key] != self.wards[user]:
            return False
        return any(role == "everyone" or user in self.members[role] for role in self.lists[key])


class Client:
    """A connection that answers what it must, and comes back when its session is closed; `send` is the spy."""

    def __init__(self, world: World, user: str) -> None:
        self.world = world
        self.user = user
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.room = asyncio.Event()
        self.room.set()
        self.is_open = False
        self.task: asyncio.Task[None] | None = None
        self.grant: IdentGrant | None = None
        self.progress = SyncProgress()
        self.query_version, self.query = 0, "{}"
        self.applied = 0, "{}"
        self.wanted: dict[int, str] = {}
        self.marks = 0
        self.answered = 0
        self.is_waiting = False

    def connect(self) -> None:
        """Begin a connection with a fresh token, and a session."""
        office = self.world.app.office
        user = office.directory.users.get(self.user)
        assert user is not None
        scope = {
            "type": "websocket",
            "path": "/realm-sync" + PATH,
            "query_string": f"baas_at={office.issuer.start(user).access.text}".encode(),
            "headers": [],
            "subprotocols": offered_subprotocols(is_flexible=True),
            "extensions": {"websocket.http.response": {}},
        }
        self.events = asyncio.Queue()
        self.events.put_nowait({"type": "websocket.connect"})
        self.is_open = True
        self.task = asyncio.get_running_loop().create_task(self.world.app(scope, self.events.get, self.send))
        self.bind()

    def bind(self) -> None:
        self.say(FlexibleBind(1, need_ident=self.grant is None))
        if self.grant is not None:
            self.identify()

    def identify(self) -> None:
        """Say which file this is, how far it has come, and which queries wait."""
        assert self.grant is not None
        one = self.progress
        cursors = (
            one.download_server_version,
            one.download_client_version,
            one.latest_version,
            one.latest_salt,
        )
        self.say(FlexibleIdent(1, self.grant.ident, self.grant.salt, *cursors, *self.applied))
        for version, query in self.wanted.items():
            self.say(QueryChange(1, version, query))
        self.mark()

    def subscribe(self, condition: str) -> None:
        self.query_version += 1
        self.query = json.dumps({**SYSTEM_QUERIES, **({"Item": condition} if condition else {})})
        self.wanted[self.query_version] = self.query
        if self.grant is not None:
            self.say(QueryChange(1, self.query_version, self.query))

    def mark(self) -> None:
        self.marks += 1
        self.say(Mark(1, self.marks))

    def say(self, message: Message) -> None:
        if self.is_open:
            self.events.put_nowait({"type": "websocket.receive", "bytes": encode(message)})

    async def send(self, event: Any) -> None:
        """What the server calls to hand bytes to the socket."""
        if event["type"] in ("websocket.close", "websocket.http.response.start"):
            self.is_open = False
            self.events.put_nowait({"type": "websocket.disconnect"})
        elif event["type"] == "websocket.send":
            self.look_at(event["bytes"])
            self.is_waiting = not self.room.is_set()
            await self.room.wait()
            self.is_waiting = False

    def look_at(self, data: bytes) -> None:
        """Check that the user may read what was sent, and answer it as a client does."""
        message = parse_from_server(data, is_flexible=True)
        if isinstance(message, FlexibleDownload):
            for entry in message.entries:
                for key, kind, number in _find_markers(entry.changeset):
                    self.world.check(self, key.decode(), kind.decode(), int(number))
            self.take(message)
        elif isinstance(message, IdentGrant):
            self.grant = message
            self.identify()
        elif isinstance(message, Mark):
            self.answered = message.request
        elif isinstance(message, JsonError) and message.code != 231:
            if message.code != 200:
                self.world.failure = f"{self.user} got {message}"
            self.say(Unbind(1))
            self.bind()
        elif not isinstance(message, JsonError | Unbound | LogMessage):
            self.world.failure = f"{self.user} got {message}"

    def take(self, message: FlexibleDownload) -> None:
        """Note how far that came; of a bootstrap only what is whole counts."""
        if message.batch_state.name == "MORE":
            return
        self.progress = message.progress
        if message.query_version in self.wanted:
            self.applied = message.query_version, self.wanted[message.query_version]
            self.wanted = {number: one for number, one in self.wanted.items() if number > message.query_version}
        if self.user != "root":
            at = self.progress.download_server_version
            self.say(Upload(1, self.world.next_version(), at, at))

    async def close(self) -> None:
        self.room.set()
        self.is_open = False
        if self.task is not None:
            self.events.put_nowait({"type": "websocket.disconnect"})
            await self.task
            self.task = None


class World:
    """A server with clients of Ada and Bob, and an admin who writes and grants."""

    def __init__(self, folder: Path) -> None:
        self.app = App(Config(data=folder, durable=False))
        self.law = Law()
        self.law_before = self.law
        self.lists_since: dict[str, list[Law]] = {user: [] for user in USERS}
        """What held when a socket was full: what had been read for it by then is on its way."""
        self.failure = ""
        self.number = 0
        self.newest: dict[tuple[str, str], int] = {}
        self.version = 10
        self.seen: set[tuple[str, str, str, int]] = set()
        self.clients: dict[str, Client] = {}

    def next_version(self) -> int:
        self.version += 1
        return self.version

    async def start(self) -> None:
        """Make users, the realm with its permissions, and objects that everyone may read."""
        users = self.app.directory.users
        for name in ("root", *USERS):
            users.add(name, "password", name, now_s=0, is_admin=name == "root")
            self.clients[name] = Client(self, name)
        for name, ward in self.law.wards.items():
            users.set_metadata(name, {"ward": ward})
        self.app.directory.permissions.set(Grant(PATH, GranteeKind.EVERYONE, "*", AccessLevel.WRITE))
        root = self.clients["root"]
        root.connect()
        await self.until(lambda: root.grant is not None)
        root.subscribe("")
        await self.edit()
        made: list[Instruction] = [*SCHEMA]
        for number, role in enumerate(ROLES):
            key = permission_id(number + 1)
            made += [] if role == "everyone" else [CreateObject("__Role", role)]
            made += [CreateObject("__Permission", key), Update("__Permission", key, "role", [], Link("__Role", role))]
            made.append(Update("__Permission", key, "canRead", [], True))
        for key in KEYS:
            made += [CreateObject("Item", key), Update("Item", key, "ward", [], "A")]
            made += linked("Item", key, "permissions", [Link("__Permission", permission_id(1))])
        await self.edit(*made)
        root.subscribe("TRUEPREDICATE")
        for name in USERS:
            self.clients[name].connect()
            self.clients[name].subscribe("TRUEPREDICATE")
        await self.until(lambda: all(one.grant is not None for one in self.clients.values()))
        await self.settle()

    # -- judging ---------------------------------------------------------------------------------

    def check(self, client: Client, key: str, kind: str, number: int) -> None:
        """Note a breach; while a change is under way, either state is right."""
        user = client.user
        self.seen.add((user, key, kind, number))
        laws = [self.law, self.law_before]
        for earlier in self.lists_since.get(user, ()):
            laws += [Law(one.rules, one.wards, one.members, earlier.lists, earlier.places) for one in laws[:2]]
        if not any(law.may_read(user, key, kind) for law in laws):
            self.failure = self.failure or f"{user} was sent {kind}#{number} of {key}: {self.law}"

    def begin_change(self) -> Law:
        """Return the law to be changed; that before it is right until the change is done."""
        self.law_before = self.law
        self.law = deepcopy(self.law)
        for user in USERS:
            if not self.clients[user].room.is_set():
                self.lists_since[user].append(self.law_before)
        return self.law

    def end_change(self) -> None:
        self.law_before = self.law

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not is_so() and not self.failure:  # noqa: ASYNC110 - what happens at the server raises no event here
                await asyncio.sleep(0.001)

    async def edit(self, *instructions: Instruction) -> None:
        """Let the admin upload something, and wait until it is merged."""
        root = self.clients["root"]
        version, at = self.next_version(), root.progress.download_server_version
        data = encode_changeset(Changeset(list(instructions)))
        root.say(Upload(1, version, at, at, (UploadEntry(version, at, version, 0, data),)))
        root.mark()
        await self.until(lambda: root.answered == root.marks and root.progress.upload_client_version >= version)

    async def server_is_idle(self) -> None:
        """Wait until the server has done what it was told about; what concerns nobody who is there can wait."""
        realm = self.app._realms._live[PATH]

        def is_idle() -> bool:
            concerned = {"", *(session.user for session in realm.sessions)}
            return not (realm.is_running or realm.jobs or concerned & realm.chores.keys())

        await asyncio.sleep(0)
        await self.until(is_idle)

    async def settle(self) -> None:
        """Wait until all has arrived that there is."""
        for _ in range(2):
            for client in self.clients.values():
                client.room.set()
                client.mark()
            await self.until(lambda: all(one.answered == one.marks for one in self.clients.values()))
        for user in USERS:
            self.lists_since[user].clear()

    # -- what can happen -------------------------------------------------------------------------

    def marker(self, key: str, kind: str) -> str:
        self.number += 1
        self.newest[key, kind] = self.number
        return f"<{key}{kind}#{self.number}>"

    async def write(self, key: str) -> None:
        await self.edit(
            Update("Item", key, "text", [], self.marker(key, "t")),
            Update("Item", key, "secret", [], self.marker(key, "s")),
        )

    async def create(self, key: str) -> None:
        """Make an object anew, with the list that it has."""
        self.begin_change()
        links = [Link("__Permission", permission_id(ROLES.index(role) + 1)) for role in self.law.lists[key]]
        await self.edit(
            EraseObject("Item", key),
            CreateObject("Item", key),
            Update("Item", key, "ward", [], self.law.places[key]),
            Update("Item", key, "text", [], self.marker(key, "t")),
            *linked("Item", key, "permissions", links),
        )
        self.end_change()

    async def grant(self, key: str, role: str) -> None:
        """Put a role on an object's list, or take it from there, and write at the same time."""
        roles = self.begin_change().lists[key]
        made: list[Instruction] = [Update("Item", key, "text", [], self.marker(key, "t"))]
        if role in roles:
            index = roles.index(role)
            made.append(ArrayErase("Item", key, "permissions", [index], len(roles)))
            del roles[index]
        else:
            link = Link("__Permission", permission_id(ROLES.index(role) + 1))
            made += linked("Item", key, "permissions", [link], len(roles))
            roles.append(role)
        await self.edit(*made)
        self.end_change()

    async def join(self, user: str, role: str) -> None:
        """Make a user a member of a role, or put the user out."""
        members = self.begin_change().members[role]
        if user in members:
            index = members.index(user)
            made: list[Instruction] = [ArrayErase("__Role", role, "members", [index], len(members))]
            del members[index]
        else:
            made = linked("__Role", role, "members", [Link("__User", user)], len(members))
            members.append(user)
        await self.edit(*made)
        self.end_change()

    async def move(self, key: str, ward: str) -> None:
        self.begin_change().places[key] = ward
        await self.edit(Update("Item", key, "ward", [], ward), Update("Item", key, "secret", [], self.marker(key, "s")))
        self.end_change()

    async def rule(self, text: str) -> None:
        self.begin_change().rules = text
        file = self.app.office.data.rules_file(PATH)
        file.parent.mkdir(exist_ok=True)
        if text:
            file.write_text(text)
        else:
            file.unlink(missing_ok=True)
        await asyncio.to_thread(self.app.directory.changes.announce, "rules", PATH)
        await self.server_is_idle()
        self.end_change()

    async def transfer(self, user: str, ward: str) -> None:
        self.begin_change().wards[user] = ward
        await asyncio.to_thread(self.app.directory.users.set_metadata, user, {"ward": ward})
        await self.server_is_idle()
        self.end_change()

    async def subscribe(self, user: str, condition: str) -> None:
        self.clients[user].subscribe(condition)

    async def reconnect(self, user: str) -> None:
        await self.clients[user].close()
        self.lists_since[user].clear()
        self.clients[user].connect()

    async def block(self, user: str) -> None:
        """The user's socket takes no more."""
        self.clients[user].room.clear()

    async def drain(self, user: str) -> None:
        self.clients[user].room.set()
        await self.until(lambda: not self.clients[user].is_waiting)
        await asyncio.sleep(0.005)
        self.lists_since[user].clear()

    async def pause(self) -> None:
        """Let the server get on with it."""
        await asyncio.sleep(0.002)

    async def see_everything(self) -> None:
        """When all may read everything again, what is there arrives."""
        await self.settle()
        await self.rule(NO_RULES)
        for key in KEYS:
            if "everyone" not in self.law.lists[key]:
                await self.grant(key, "everyone")
            await self.write(key)
        for user in USERS:
            self.clients[user].subscribe("TRUEPREDICATE")
        await self.settle()
        await self.settle()
        for user in USERS:
            withheld = {name: number for name, number in self.newest.items() if (user, *name, number) not in self.seen}
            if withheld:
                self.failure = self.failure or f"withheld from {user}: {withheld}"


keys, roles = st.sampled_from(KEYS), st.sampled_from(ROLES)
users, wards = st.sampled_from(USERS), st.sampled_from("AB")
happenings = st.one_of(
    st.tuples(st.just("write"), keys),
    st.tuples(st.just("write"), keys),
    st.tuples(st.just("create"), keys),
    st.tuples(st.just("grant"), keys, roles),
    st.tuples(st.just("grant"), keys, roles),
    st.tuples(st.just("join"), users, st.sampled_from(ROLES[1:])),
    st.tuples(st.just("join"), users, st.sampled_from(ROLES[1:])),
    st.tuples(st.just("move"), keys, wards),
    st.tuples(st.just("rule"), st.sampled_from(DOCUMENTS)),
    st.tuples(st.just("transfer"), users, wards),
    st.tuples(st.just("subscribe"), users, st.sampled_from(QUERIES)),
    st.tuples(st.just("reconnect"), users),
    st.tuples(st.just("block"), users),
    st.tuples(st.just("drain"), users),
    st.just(("pause",)),
)


async def live_through(folder: Path, steps: list[tuple[Any, ...]]) -> str:
    """Let all of it happen; return what went wrong."""
    world = World(folder)
    await world.start()
    for name, *arguments in steps:
        await getattr(world, name)(*arguments)
    await world.see_everything()
    for client in world.clients.values():
        await client.close()
    await world.app.stop()
    return world.failure


# What goes wrong here depends on timing, so that shrinking would only take time.
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.lists(happenings, min_size=10, max_size=40))
def test_nobody_is_sent_what_they_may_not_read(steps: list[tuple[Any, ...]]) -> None:
    """Objects, and properties that rules hide; and nothing is lost to who may read."""
    with tempfile.TemporaryDirectory() as folder:
        assert asyncio.run(live_through(Path(folder), steps)) == ""
