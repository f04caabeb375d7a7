"""`$user.id` and `$user.custom.<name>` in conditions: replaced, worked out, and false where they are missing."""

from __future__ import annotations

import pytest

from hinterland.errors import QueryError
from hinterland.permissions.subject import Json, Subject
from hinterland.permissions.user_values import check_user_values, conjunction, expand
from hinterland.query.ast import Condition, Sort
from hinterland.query.description import describe
from hinterland.query.parser import parse
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.values import CollectionType, PropertyType

SCHEMA = Schema.of(
    [
        ClassSchema(
            "Task",
            key="_id",
            properties={
                one.name: one
                for one in [
                    Property("_id", PropertyType.OBJECT_ID),
                    Property("owner", PropertyType.STRING, nullable=True),
                    Property("team", PropertyType.STRING),
                    Property("n", PropertyType.INT),
                    Property("flag", PropertyType.BOOL),
                    Property("uuid", PropertyType.UUID),
                    Property("when", PropertyType.TIMESTAMP),
                    Property("thing", PropertyType.MIXED),
                    Property("members", PropertyType.STRING, CollectionType.LIST),
                    Property("project", PropertyType.LINK, nullable=True, target="Task"),
                    Property("tasks", PropertyType.LINK, CollectionType.LIST, target="Task"),
                ]
            },
        )
    ]
)
CUSTOM: dict[str, Json] = {
    "team": "red",
    "teams": ["red", "blue"],
    "mixed": ["red", 5, None],
    "level": 3,
    "admin": True,
    "nothing": None,
    "empty": [],
    "nested": {"deep": "x"},
    "id": "00000000-0000-0000-0000-000000000001",
    "huge": 2**70,
    "strange": float("nan"),
    "quote": "it's",
}


def condition(text: str) -> Condition:
    steps = [step for step in parse(text).steps if not isinstance(step, Sort)]
    return conjunction(*steps)  # type: ignore[arg-type]


def expanded(text: str, custom: dict[str, Json] | None = None) -> str:
    tree = condition(text)
    check_user_values(tree, text, is_about_user=False)
    return describe(expand(tree, Subject("ada", custom=CUSTOM if custom is None else custom), "Task", SCHEMA))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("owner == $user.id", "owner == 'ada'"),
        ("$user.id == owner", "'ada' == owner"),
        ("owner ==[c] $user.id", "owner ==[c] 'ada'"),
        ("team IN $user.custom.teams", "team IN ANY {'red', 'blue'}"),
        ("team == $user.custom.teams", "team == ANY {'red', 'blue'}"),
        ("team IN $user.custom.mixed", "team IN ANY {'red'}"),
        ("team IN $user.custom.empty", "team IN ANY {}"),
        ("$user.id IN members", "'ada' IN members"),
        ("ANY members == $user.id", "ANY members == 'ada'"),
        ("n <= $user.custom.level", "n <= 3"),
        ("flag == $user.custom.admin", "flag == true"),
        ("uuid == $user.custom.id", "uuid == uuid(00000000-0000-0000-0000-000000000001)"),
        ("thing == $user.custom.level", "thing == 3"),
        ("project.owner == $user.id", "project.owner == 'ada'"),
        ("project.project.n == $user.custom.level", "project.project.n == 3"),
        ("members.@count > $user.custom.level", "members.@count > 3"),
        ("@links.Task.project.owner == $user.id", "@links.Task.project.owner == 'ada'"),
        ("team == $user.custom.nested.deep", "team == 'x'"),
        ("team == $user.custom.quote", 'team == "it\'s"'),
        (
            "SUBQUERY(tasks, $t, $t.owner == $user.id AND $t.n > 1).@count > 0",
            "SUBQUERY(tasks, $t, $t.owner == 'ada' AND $t.n > 1).@count > 0",
        ),
        ("owner == 'bob' AND team == $user.custom.team", "owner == 'bob' AND team == 'red'"),
    ],
)
def test_values_of_the_user_are_put_in(text: str, result: str) -> None:
    """A value stands in the type of the property that it is compared with; lists become lists."""
    assert expanded(text) == result


@pytest.mark.parametrize(
    "comparison",
    [
        "owner == $user.custom.absent",
        "owner != $user.custom.absent",
        "owner == $user.custom.nothing",
        "owner == $user.custom.nested",
        "owner == $user.custom.team.deep",
        "n == $user.custom.team",
        "n != $user.custom.team",
        "owner == $user.custom.level",
        "flag == $user.custom.level",
        "n == $user.custom.admin",
        "n == $user.custom.huge",
        "n == $user.custom.strange",
        "uuid == $user.custom.team",
        "_id == $user.id",
        "when == $user.custom.level",
        "team IN $user.custom.team",
        "team != $user.custom.teams",
        "n < $user.custom.teams",
        "project == $user.id",
        "absent == $user.id",
        "SUBQUERY(tasks, $t, $t.owner == $user.custom.absent).@count == 0",
        "SUBQUERY(tasks, $t, $t.project.n == $user.custom.team).@count < 5",
        "$user.custom.absent == 'x'",
        "$user.custom.absent != 'x'",
        "$user.custom.level != 'x'",
        "$user.custom.team > 3",
        "$user.custom.level BEGINSWITH 'x'",
        "$user.custom.admin > false",
        "$user.custom.team IN 'red'",
        "$user.custom.absent == $user.custom.absent",
    ],
)
def test_what_is_missing_or_does_not_fit_is_false_also_below_not(comparison: str) -> None:
    """A user without a value never gains by it (flx.md §3.2)."""
    assert expanded(comparison) == "FALSEPREDICATE"
    assert expanded(f"NOT ({comparison})") == "FALSEPREDICATE"
    assert expanded(f"NOT (NOT ({comparison}))") == "FALSEPREDICATE"
    assert expanded(f"{comparison} OR owner == 'x'") == "owner == 'x'"
    assert expanded(f"NOT ({comparison} AND owner == 'x') AND n == 1") != "n == 1"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$user.custom.team == 'red'", True),
        ("$user.custom.team != 'red'", False),
        ("'red' == $user.custom.team", True),
        ("$user.custom.team IN {'red', 'green'}", True),
        ("$user.custom.team IN {'green'}", False),
        ("'blue' IN $user.custom.teams", True),
        ("$user.custom.teams == 'blue'", True),
        ("$user.custom.teams == 'green'", False),
        ("$user.custom.level >= 3", True),
        ("$user.custom.level == 3.0", True),
        ("$user.custom.level < 3", False),
        ("$user.custom.team > 'r'", True),
        ("$user.custom.team BEGINSWITH 're'", True),
        ("$user.custom.team ENDSWITH 're'", False),
        ("$user.custom.team CONTAINS 'e'", True),
        ("$user.custom.admin == true", True),
        ("$user.custom.admin == 1", False),
        ("$user.custom.team == NULL", False),
        ("$user.custom.team != NULL", True),
        ("$user.id == $user.id", True),
        ("NOT $user.custom.team == 'red'", False),
        ("$user.custom.team == 'red' OR owner == 'x'", True),
        ("$user.custom.level IN {1, true}", False),
    ],
)
def test_comparisons_with_constants_are_worked_out(text: str, result: bool) -> None:
    """What does not depend on objects costs nothing when they are looked for."""
    assert expanded(text) == ("TRUEPREDICATE" if result else "FALSEPREDICATE")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("owner == $user.name", r"\$user.id or \$user.custom"),
        ("owner == $user.custom", r"\$user.id or \$user.custom"),
        ("owner == $user.id.x", r"\$user.id or \$user.custom"),
        ("ALL $user.custom.teams == team", r"\$user.id or \$user.custom"),
        ("n == $user.custom.level + 1", "one side of a comparison"),
        ("owner LIKE $user.id", "LIKE cannot compare"),
        ("n + 1 == $user.custom.level", "with a property or a constant"),
        ("n BETWEEN {0, 3} AND $user.id ==[c] 'x'", r"\[c\] needs a property"),
    ],
)
def test_values_of_the_user_stand_in_few_places(text: str, message: str) -> None:
    """Elsewhere their types could not be checked; the message shows the place."""
    with pytest.raises(QueryError, match=message) as caught:
        check_user_values(condition(text), text, is_about_user=False)
    assert "^" in str(caught.value)


@pytest.mark.parametrize("text", ["owner == 'x'", "owner == $user.id", "$user.id == owner OR $user.id == 'x'"])
def test_who_has_a_role_does_not_depend_on_objects(text: str) -> None:
    """`apply_when` speaks of the user only."""
    with pytest.raises(QueryError, match="constants here"):
        check_user_values(condition(text), text, is_about_user=True)
