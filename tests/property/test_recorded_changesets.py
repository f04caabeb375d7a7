"""Whatever a program does to a realm, its recorded changesets make an equal realm elsewhere."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import hinterland as hl
from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import ChangesetStream
from hinterland.changeset.instructions import Changeset, CreateObject, EraseObject
from hinterland.store.applier import apply
from hinterland.store.contents import creation_instructions, schema_instructions
from hinterland.store.creations import Creations, pages
from hinterland.store.export import describe_state
from hinterland.store.store import Store


class Leaf(hl.EmbeddedObject):
    """Embedded in an embedded object."""

    text: str = ""
    numbers: hl.List[int]


class Branch(hl.EmbeddedObject):
    """Embedded, with everything below it."""

    size: int = 0
    leaf: Leaf | None = None
    leaves: hl.List[Leaf]
    named: hl.Dict[Leaf | None]
    friend: Tree | None = None
    friends: hl.List[Tree]


class Tree(hl.Object):
    """A class with every kind of property."""

    number: int = hl.field(primary_key=True)
    text: str = "default"
    flag: bool = False
    count: int = 0
    maybe: int | None = None
    ratio: float = 1.5
    single: hl.float32 = hl.float32(0.5)
    raw: bytes = b""
    when: datetime | None = None
    exact: hl.Timestamp | None = None
    money: Decimal = Decimal("1.50")
    badge: UUID | None = None
    thing: hl.ObjectId | None = None
    anything: hl.Mixed = None
    next: Tree | None = None
    branch: Branch | None = None
    texts: hl.List[str]
    maybes: hl.List[int | None]
    trees: hl.List[Tree]
    branches: hl.List[Branch]
    mixes: hl.List[hl.Mixed]
    tags: hl.Set[str]
    others: hl.Set[Tree]
    mixed_set: hl.Set[hl.Mixed]
    scores: hl.Dict[float]
    by_name: hl.Dict[Tree | None]
    named: hl.Dict[Branch | None]
    mixed_by_name: hl.Dict[hl.Mixed]


SCHEMA = [Tree, Branch, Leaf]
SCALARS: list[Callable[[random.Random], Any]] = [
    lambda rng: None,
    lambda rng: rng.randrange(-(2**63), 2**63),
    lambda rng: rng.randrange(100),
    lambda rng: rng.random() < 0.5,
    lambda rng: rng.uniform(-5, 5),
    lambda rng: float("nan") if rng.random() < 0.2 else float("inf"),
    lambda rng: rng.choice(["", "a", "ü€", "long " * 50]),
    lambda rng: rng.randbytes(3),
    lambda rng: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=rng.randrange(10**15)),
    lambda rng: hl.Timestamp(rng.randrange(1, 10**9), rng.randrange(10**9)),
    lambda rng: Decimal(rng.randrange(10**6)).scaleb(-3),
    lambda rng: UUID(int=rng.getrandbits(128)),
    lambda rng: hl.ObjectId(rng.randbytes(12)),
    lambda rng: hl.float32(rng.random()),
]


class Program:
    """Makes random changes, each through the public interface."""

    def __init__(self, realm: hl.Realm, rng: random.Random) -> None:
        self.realm = realm
        self.rng = rng
        self.actions = [getattr(self, name) for name in sorted(dir(type(self))) if name.startswith("do_")]

    def step(self) -> None:
        """Do one random thing."""
        self.rng.choice(self.actions)()

    # -- picking -----------------------------------------------------------------------------------

    def tree(self) -> Tree:
        """Return an existing object, or a new one."""
        trees = self.realm.objects(Tree)
        if len(trees) and self.rng.random() < 0.9:
            return trees[self.rng.randrange(len(trees))]
        return self.realm.create(Tree, {"number": self.rng.randrange(1000)}, update="modified")

    def new_tree(self) -> Tree:
        """Return an unmanaged object with a key that is not in use."""
        while self.realm.object(Tree, number := self.rng.randrange(10**6)) is not None:
            continue
        values: dict[str, Any] = {"number": number}
        if self.rng.random() < 0.5:
            values |= {"text": "new", "texts": ["x"], "ratio": float("nan"), "branch": self.new_branch()}
        if self.rng.random() < 0.3:
            values |= {"next": self.tree(), "trees": [self.tree()], "others": {self.tree()}, "anything": [self.tree()]}
        return Tree(**values)

    def new_branch(self) -> Branch:
        """Return an unmanaged embedded object."""
        branch = Branch(size=self.rng.randrange(9), leaves=[Leaf(text="l", numbers=[1, 2])])
        if self.rng.random() < 0.5:
            branch.leaf = Leaf(text="one")
            branch.named["k"] = Leaf()
            branch.friend = self.tree()
        return branch

    def a_branch(self) -> Branch:
        """Return a managed embedded object."""
        tree = self.tree()
        found = [tree.branch, *tree.branches, *tree.named.values()]
        found = [one for one in found if one is not None]
        if not found:
            tree.branches.append(self.new_branch())
            return tree.branches[-1]
        return self.rng.choice(found)

    def scalar(self) -> Any:
        """Return a random scalar."""
        return self.rng.choice(SCALARS)(self.rng)

    def mixed(self, depth: int = 0) -> Any:
        """Return a random Mixed value."""
        kind = self.rng.random()
        if depth < 3 and kind < 0.25:
            return [self.mixed(depth + 1) for _ in range(self.rng.randrange(4))]
        if depth < 3 and kind < 0.5:
            return {self.rng.choice("abc"): self.mixed(depth + 1) for _ in range(self.rng.randrange(3))}
        return self.tree() if kind > 0.9 else self.scalar()

    def index(self, values: Any) -> int:
        """Return a random index of something that is not empty."""
        return self.rng.randrange(len(values))

    # -- actions -----------------------------------------------------------------------------------

    def do_add(self) -> None:
        self.realm.add(self.new_tree())

    def do_add_many(self) -> None:
        self.realm.add_all([self.new_tree() for _ in range(2)], update="modified")

    def do_update_existing(self) -> None:
        copy = self.tree().detach(depth=self.rng.choice([0, 1, None]))
        copy.text = "copied"
        copy.texts.append("more")
        self.realm.add(copy, update=self.rng.choice(["modified", "all"]))

    def do_delete(self) -> None:
        if len(self.realm.objects(Tree)) > 3:
            self.realm.delete(self.tree())

    def do_scalars(self) -> None:
        tree = self.tree()
        tree.text = self.rng.choice(["", "x", "default"])
        tree.flag = not tree.flag
        tree.maybe = self.rng.choice([None, 5])
        tree.ratio = self.rng.choice([0.0, 2.5, float("nan")])
        tree.single = hl.float32(self.rng.random())
        tree.raw = self.rng.randbytes(2)
        tree.when = self.rng.choice([None, datetime.now(UTC)])
        tree.exact = hl.Timestamp(-5, -7)
        tree.money += Decimal("0.01")
        tree.badge = UUID(int=self.rng.getrandbits(128))
        tree.thing = self.rng.choice([None, hl.ObjectId(bytes(12))])

    def do_increment(self) -> None:
        self.tree().increment("count", self.rng.randrange(-5, 6))

    def do_link(self) -> None:
        self.tree().next = self.rng.choice([None, self.tree(), self.new_tree()])

    def do_mixed(self) -> None:
        self.tree().anything = self.mixed()

    def do_nested(self) -> None:
        self.edit_nested(self.tree().anything)
        tree = self.tree()
        if tree.mixes:
            self.edit_nested(tree.mixes[self.index(tree.mixes)])
        for value in list(tree.mixed_by_name.values())[:1]:
            self.edit_nested(value)

    def edit_nested(self, node: Any) -> None:
        """Change a nested collection somewhere below `node`."""
        rng = self.rng
        if not hasattr(node, "clear"):
            return
        if hasattr(node, "keys"):
            key = rng.choice("abc")
            if key in node and rng.random() < 0.3:
                del node[key]
            elif key in node and rng.random() < 0.6:
                self.edit_nested(node[key])
            elif rng.random() < 0.9:
                node[key] = self.mixed(2)
            else:
                node.clear()
            return
        choice = rng.randrange(6)
        if not node or choice == 0:
            node.insert(rng.randrange(len(node) + 1), self.mixed(2))
        elif choice == 1:
            del node[self.index(node)]
        elif choice == 2:
            node[self.index(node)] = self.mixed(2)
        elif choice == 3:
            node.move(self.index(node), self.index(node))
        elif choice == 4:
            self.edit_nested(node[self.index(node)])
        elif rng.random() < 0.2:
            node.clear()

    def do_branch(self) -> None:
        tree = self.tree()
        tree.branch = self.rng.choice([None, self.new_branch(), tree.branch, self.a_branch()])

    def do_edit_branch(self) -> None:
        branch = self.a_branch()
        branch.size += 1
        branch.increment("size", 2)
        branch.leaves.insert(0, Leaf(text="first"))
        branch.leaves[-1].numbers.append(3)
        branch.named[self.rng.choice("ab")] = self.rng.choice([None, Leaf(text="n")])
        if branch.leaf is None:
            branch.leaf = Leaf()
        branch.leaf.text += "!"
        branch.friends.append(self.tree())

    def do_delete_embedded(self) -> None:
        self.realm.delete(self.a_branch())

    def edit_list(self, values: Any, make: Callable[[], Any]) -> None:
        """Change a list in one of the ways lists have."""
        choice = self.rng.randrange(9)
        if not values or choice == 0:
            values.append(make())
        elif choice == 1:
            values.insert(self.rng.randrange(len(values) + 1), make())
        elif choice == 2:
            values[self.index(values)] = make()
        elif choice == 3:
            del values[self.index(values)]
        elif choice == 4:
            values.move(self.index(values), self.index(values))
        elif choice == 5:
            values[1:2] = [make(), make()]
        elif choice == 6:
            values.extend([make()])
        elif choice == 7:
            values.pop()
        elif self.rng.random() < 0.3:
            values.clear()

    def do_texts(self) -> None:
        self.edit_list(self.tree().texts, lambda: self.rng.choice(["a", "b"]))

    def do_maybes(self) -> None:
        self.edit_list(self.tree().maybes, lambda: self.rng.choice([None, 1]))

    def do_trees(self) -> None:
        self.edit_list(self.tree().trees, lambda: self.rng.choice([self.tree, self.new_tree])())

    def do_branches(self) -> None:
        self.edit_list(self.tree().branches, self.new_branch)

    def do_mixes(self) -> None:
        self.edit_list(self.tree().mixes, self.mixed)

    def do_replace(self) -> None:
        tree = self.tree()
        tree.texts = ["p", "q"]
        tree.tags = {"t"}
        tree.scores = {"s": 1.0}
        tree.trees = [self.tree()]
        tree.branches = self.rng.choice([[], list(self.tree().branches), [self.new_branch()]])

    def do_sets(self) -> None:
        tree = self.tree()
        for values, make in ((tree.tags, lambda: self.rng.choice("abc")), (tree.others, self.tree)):
            value = make()
            self.rng.choice([values.add, values.discard])(value)
            if self.rng.random() < 0.05:
                values.clear()
        tree.mixed_set.add(self.rng.choice([1, "a", None, True, self.tree()]))

    def do_dicts(self) -> None:
        tree, key = self.tree(), self.rng.choice("xyz")
        tree.scores[key] = self.rng.random()
        tree.by_name[key] = self.rng.choice([None, self.tree(), self.new_tree()])
        tree.named[key] = self.rng.choice([None, self.new_branch()])
        tree.mixed_by_name[key] = self.mixed()
        if self.rng.random() < 0.3:
            tree.named.pop(key)
            del tree.by_name[key]
            tree.mixed_by_name.pop(key)
        if self.rng.random() < 0.05:
            tree.named.clear()


@pytest.mark.parametrize("seed", range(60))
def test_changesets_repeat_what_happened(seed: int, tmp_path: Path) -> None:
    """Applied to an empty realm, the changesets of a random program give its state (I2)."""
    rng = random.Random(seed)
    changesets: list[bytes] = []
    configuration = hl.Configuration(
        tmp_path / "one.hldb",
        schema=SCHEMA,
        durable=False,
        changeset_sink=lambda transaction, version, changeset: changesets.append(changeset),
    )
    with hl.Realm.open(configuration) as realm:
        program = Program(realm, rng)
        for _ in range(12):
            try:
                with realm.write():
                    for _ in range(rng.randrange(1, 12)):
                        program.step()
                    seen = repr([tree.detach(depth=1) for tree in realm.objects(Tree)])
                    if rng.random() < 0.1:
                        raise LookupError("changed my mind")
            except LookupError:
                continue
            # What live objects showed inside the transaction is what the file holds.
            with hl.Realm.open(tmp_path / "one.hldb", schema=SCHEMA) as other:
                assert repr([tree.detach(depth=1) for tree in other.objects(Tree)]) == seen
        expected = describe_state(realm._store)
    store = Store.open(tmp_path / "two.hldb", durable=False)
    for changeset in changesets:
        with store.begin_write() as transaction:
            apply(transaction, decode(changeset))
    assert describe_state(store) == expected
    check_creations(store, rng, tmp_path / "three.hldb")
    store.close()


def check_creations(store: Store, rng: random.Random, path: Path) -> None:
    """Read by the page, objects are made of what each says by itself; and together they are the same objects again."""
    table = store.tables["Tree"]
    rows = [image[0] for image in store.connection.execute(table.select_all_sql)]
    left_out = set(rng.sample(sorted(map(table.key_of, rows)), len(rows) // 4))
    hidden = set(rng.sample(sorted(set(table.schema.properties) - {"number"}), rng.randrange(3)))
    found: list[bytes] = []
    for fields, absent in ((hidden, left_out), (frozenset[str](), frozenset[object]())):
        found.clear()
        stream = ChangesetStream(found.append, rng.choice([1, 1000]))
        keys = []
        creations = Creations(store, "Tree", fields)
        for page in pages((row,) for row in rows):
            for key in creations.write(page, stream, absent.__contains__):
                keys.append(key)
                stream.pause()
        stream.end()
        assert keys == [key for key in map(table.key_of, rows) if key not in absent]
        alone = [
            one
            for row in rows
            if (key := table.key_of(row)) not in absent
            for one in (EraseObject("Tree", key), *creation_instructions(store, "Tree", key, row))
            if isinstance(one, EraseObject | CreateObject) or one.field not in fields
        ]
        assert repr([one for changeset in found for one in decode(changeset)]) == repr(alone)  # NaN is not itself
    copy = Store.open(path, durable=False)
    with copy.begin_write() as transaction:
        apply(transaction, Changeset(schema_instructions(store.schema)))
        for changeset in found:
            apply(transaction, decode(changeset))
        transaction.commit(1)
    assert describe_state(copy) == describe_state(store)
    copy.close()
