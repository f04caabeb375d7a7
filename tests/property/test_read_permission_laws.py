"""I7: whatever is granted, taken away and written meanwhile, nobody is sent a byte of what they may not read.

Several connections are driven through the server's ASGI application; a spy looks at all bytes that the
server hands to the sockets, at the moment it does so.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hinterland.changeset.encoder import encode as encode_changeset
from hinterland.changeset.instructions import AddTable, Changeset, CreateObject, Instruction
from hinterland.protocol.codec import offered_subprotocols
from hinterland.protocol.messages import (
    Bind,
    Ident,
    IdentGrant,
    JsonError,
    Message,
    Unbind,
    Upload,
    UploadEntry,
    encode,
    parse_from_server,
)
from hinterland.server import Config
from hinterland.server.access import AccessLevel, Caller, Grant, GranteeKind, access_level
from hinterland.server.app import App
from hinterland.server.directory import UserStatus
from hinterland.values import ClassKind, PropertyType

TIMEOUT_S = 30
USERS = ("ada", "bob")
REALMS = ("/shared/one", "/shared/two", "/ada/own")
PATTERNS = (*REALMS, "/shared/*", "/*", "/ada/*")
ITEM = AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.STRING)

_find_markers = re.compile(rb"<(\d)#(\d+)>").findall


class Rules:
    """What everybody may read, kept by the test itself."""

    def __init__(self) -> None:
        self.grants: dict[tuple[str, GranteeKind, str], Grant] = {}
        self.staff: frozenset[str] = frozenset()
        self.suspended: frozenset[str] = frozenset()

    def copy(self) -> Rules:
        """Return the rules as they are now."""
        other = Rules()
        other.grants, other.staff, other.suspended = dict(self.grants), self.staff, self.suspended
        return other

    def may_read(self, user: str, realm: str) -> bool:
        """Whether somebody may read a realm."""
        if user == "root":
            return True
        roles = frozenset({"staff"}) if user in self.staff else frozenset()
        level = access_level(Caller(user, roles=roles), realm, self.grants.values())
        return user not in self.suspended and level >= AccessLevel.READ


class Client:
    """A connection that answers what it must; `send` is the spy."""

    def __init__(self, world: World, user: str) -> None:
        self.world = world
        self.user = user
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.room = asyncio.Event()
        self.room.set()
        self.is_open = False
        self.sessions: dict[int, str] = {}
        self.seen: set[tuple[str, int]] = set()
        self.is_ready: dict[int, asyncio.Event] = {}
        self.next_session = 1
        self.task: asyncio.Task[None] | None = None

    def connect(self) -> None:
        """Begin a connection with a fresh token."""
        office = self.world.app.office
        user = office.directory.users.get(self.user)
        assert user is not None
        token = office.issuer.start(user).access.text
        scope = {
            "type": "websocket",
            "path": "/realm-sync",
            "query_string": f"baas_at={token}".encode(),
            "headers": [],
            "subprotocols": offered_subprotocols(),
            "extensions": {"websocket.http.response": {}},
        }
        self.events = asyncio.Queue()
        self.events.put_nowait({"type": "websocket.connect"})
        self.sessions, self.is_open = {}, True
        self.task = asyncio.get_running_loop().create_task(self.world.app(scope, self.events.get, self.send))

    async def send(self, event: Any) -> None:
        """What the server calls to hand bytes to the socket."""
        if event["type"] in ("websocket.close", "websocket.http.response.start"):  # ended, or not even let in
            self.is_open = False
            self.events.put_nowait({"type": "websocket.disconnect"})
        elif event["type"] == "websocket.send":
            self.look_at(event["bytes"])
            await self.room.wait()

    def look_at(self, data: bytes) -> None:
        """Check that the user may read what was sent, and answer it as a client does."""
        for realm_number, number in _find_markers(data):
            realm = REALMS[int(realm_number)]
            self.world.check(self.user, realm)
            self.seen.add((realm, int(number)))
        message = parse_from_server(data)
        if isinstance(message, IdentGrant):
            self.say(Ident(message.session, message.ident, message.salt))
            self.is_ready[message.session].set()
        elif isinstance(message, JsonError) and message.session in self.sessions:
            del self.sessions[message.session]
            self.say(Unbind(message.session))
            self.is_ready[message.session].set()

    def say(self, message: Message) -> None:
        """Send a message to the server."""
        self.events.put_nowait({"type": "websocket.receive", "bytes": encode(message)})

    def join(self, realm: str) -> int:
        """Bind a new session, as a new file."""
        if not self.is_open:
            self.connect()
        number, self.next_session = self.next_session, self.next_session + 1
        self.sessions[number] = realm
        self.is_ready[number] = asyncio.Event()
        self.say(Bind(number, realm, need_ident=True))
        return number


class World:
    """A server with clients of Ada and Bob, and an admin who writes into all realms."""

    def __init__(self, folder: Path) -> None:
        self.app = App(Config(data=folder, durable=False))
        self.rules = Rules()
        self.rules_before = self.rules
        self.written: set[tuple[str, int]] = set()
        self.failure = ""
        self.versions = dict.fromkeys(REALMS, 1)
        self.writer_sessions: dict[str, int] = {}
        self.clients: dict[str, Client] = {}

    async def start(self) -> None:
        """Make users, and the writer's sessions."""
        users = self.app.directory.users
        for name in ("root", *USERS):
            users.add(name, "password", name, now_s=0, is_admin=name == "root")
            self.clients[name] = Client(self, name)
        first = self.app.directory.permissions.page()
        self.rules.grants = {(one.path, one.kind, one.grantee): one for one in first}
        writer = self.clients["root"]
        for realm in REALMS:
            self.writer_sessions[realm] = number = writer.join(realm)
            await asyncio.wait_for(writer.is_ready[number].wait(), TIMEOUT_S)

    def check(self, user: str, realm: str) -> None:
        """Note a breach; while a change is under way, either state is right."""
        if not (self.rules.may_read(user, realm) or self.rules_before.may_read(user, realm)):
            self.failure = f"{user} was sent bytes of {realm}"

    async def change(self, call: Any, *arguments: Any, **options: Any) -> None:
        """Carry out a change as a request does: on a thread. It is effective when that is back."""
        await asyncio.to_thread(call, *arguments, **options)
        self.rules_before = self.rules

    def begin_change(self) -> Rules:
        """Return the rules to be changed; those before it are right until the change is done."""
        self.rules_before = self.rules
        self.rules = self.rules.copy()
        return self.rules

    # -- what can happen ----------------------------------------------------------------------

    async def grant(self, path: str, kind: GranteeKind, grantee: str, level: AccessLevel) -> None:
        one = Grant(path, kind, grantee, level)
        self.begin_change().grants[path, kind, grantee] = one
        await self.change(self.app.directory.permissions.set, one)

    async def remove(self, path: str, kind: GranteeKind, grantee: str) -> None:
        self.begin_change().grants.pop((path, kind, grantee), None)
        await self.change(self.app.directory.permissions.remove, path, kind, grantee)

    async def staff(self, *names: str) -> None:
        self.begin_change().staff = frozenset(names)
        for name in USERS:
            await self.change(self.app.directory.users.set_roles, name, ["staff"] if name in names else [])

    async def suspend(self, user: str, status: UserStatus) -> None:
        rules = self.begin_change()
        is_suspended = status is UserStatus.SUSPENDED
        rules.suspended = rules.suspended | {user} if is_suspended else rules.suspended - {user}
        await self.change(self.app.directory.users.set_status, user, status)

    async def edit(self, realm: str) -> None:
        """Write something that can be recognised wherever it turns up."""
        self.versions[realm] += 1
        version = self.versions[realm]
        marker = f"<{REALMS.index(realm)}#{version}>"
        data = encode_changeset(Changeset(list[Instruction]([ITEM, CreateObject("Item", marker)])))
        entry = UploadEntry(version, 0, 100 + version, 0, data)
        self.clients["root"].say(Upload(self.writer_sessions[realm], version, 0, 0, (entry,)))
        self.written.add((realm, version))

    async def join(self, user: str, realm: str) -> None:
        if user not in self.rules.suspended:
            self.clients[user].join(realm)

    async def block(self, user: str) -> None:
        """The user's socket takes no more."""
        self.clients[user].room.clear()

    async def drain(self, user: str) -> None:
        self.clients[user].room.set()

    async def pause(self) -> None:
        """Let the server get on with it."""
        await asyncio.sleep(0.002)

    async def see_everything(self) -> None:
        """When all may read everything again, all of it arrives: it was withheld, not lost."""
        for user in USERS:
            await self.drain(user)
            await self.suspend(user, UserStatus.ACTIVE)
            for realm in REALMS:
                await self.grant(realm, GranteeKind.USER, user, AccessLevel.READ)
                self.clients[user].join(realm)
        async with asyncio.timeout(TIMEOUT_S):
            while not self.failure and any(self.clients[user].seen != self.written for user in USERS):
                await self.pause()


levels = st.sampled_from(AccessLevel)
grantees = st.sampled_from(
    [
        (GranteeKind.USER, "ada"),
        (GranteeKind.USER, "bob"),
        (GranteeKind.ROLE, "staff"),
        (GranteeKind.EVERYONE, "*"),
    ]
)
patterns, realms, users = st.sampled_from(PATTERNS), st.sampled_from(REALMS), st.sampled_from(USERS)
happenings = st.one_of(
    st.tuples(st.just("grant"), patterns, grantees, levels).map(lambda it: (it[0], it[1], *it[2], it[3])),
    st.tuples(st.just("remove"), patterns, grantees).map(lambda it: (it[0], it[1], *it[2])),
    st.lists(users, unique=True).map(lambda names: ("staff", *names)),
    st.tuples(st.just("suspend"), users, st.sampled_from(UserStatus)),
    st.tuples(st.just("edit"), realms),
    st.tuples(st.just("edit"), realms),
    st.tuples(st.just("join"), users, realms),
    st.tuples(st.just("join"), users, realms),
    st.tuples(st.just("block"), users),
    st.tuples(st.just("drain"), users),
    st.just(("pause",)),
    st.just(("pause",)),
)


async def live_through(folder: Path, steps: list[tuple[Any, ...]]) -> str:
    """Let all of it happen; return what went wrong."""
    world = World(folder)
    await world.start()
    for name, *arguments in steps:
        await getattr(world, name)(*arguments)
    try:
        await world.see_everything()
    except TimeoutError:
        missing = {user: world.written - world.clients[user].seen for user in USERS}
        world.failure = world.failure or f"withheld for ever: {missing}"
    await world.app.stop()
    for client in world.clients.values():
        if client.task is not None:
            client.events.put_nowait({"type": "websocket.disconnect"})
            await client.task
    return world.failure


# What goes wrong here depends on timing, so that shrinking would only take time.
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.lists(happenings, min_size=10, max_size=40))
def test_nobody_is_sent_what_they_may_not_read(steps: list[tuple[Any, ...]]) -> None:
    """Not even what waited for a slow socket when the permission went; and nothing is lost to who may read."""
    with tempfile.TemporaryDirectory() as folder:
        assert asyncio.run(live_through(Path(folder), steps)) == ""
