"""Realm paths: proper forms, refusals, access."""

from __future__ import annotations

import pytest

from hinterland.server.layout import DataDirectory
from hinterland.server.paths import IllegalPathError, proper_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/~/tasks", "/ada/tasks"),
        ('"/~/tasks"', "/ada/tasks"),
        ("/shared/board", "/shared/board"),
        ("/shared/a/b-c_d.e", "/shared/a/b-c_d.e"),
        ("shared/board", "/shared/board"),
        ("/shared/Zürich 2", "/shared/Zürich 2"),
        ('"team-7"', "/shared/s_team-7"),
        ('"a/../b"', "/shared/s_a%2F..%2Fb"),
        ('"ada"', "/ada/partition"),
        ('{"$numberInt":"5"}', "/shared/i_5"),
        ('{"$numberLong":"5"}', "/shared/i_5"),
        ("5", "/shared/i_5"),
        ("-5", "/shared/i_-5"),
        ('{"$oid":"65F0c0ffee65f0c0ffee65f0"}', "/shared/o_65f0c0ffee65f0c0ffee65f0"),
        ('{"$uuid":"00112233-4455-6677-8899-aabbccddeeff"}', "/shared/u_00112233-4455-6677-8899-aabbccddeeff"),
        (
            '{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}}',
            "/shared/u_00112233-4455-6677-8899-aabbccddeeff",
        ),
        ("null", "/shared/null"),
    ],
)
def test_each_name_has_one_proper_form(text: str, path: str) -> None:
    """Paths, quoted paths, and the partition values of wire.md §9.1."""
    assert proper_path(text, "ada") == path


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "//", "/a//b", "/a/", "/../etc/passwd", "/shared/..", "/shared/../ada/x", "/shared/%2e%2e/x",
        "/shared/a\\b", "/shared/.hidden", "/shared/x.realm", "/shared/x.REALM.lock", "/shared/x.hldb", "/~",
        "/shared/~/x", "/shared/a\0b", "/shared/a\nb", "/shared/u\u0308", "/shared/ x", "/" + "a" * 1024,
        "/shared/\udcff", '"', '"/../x"', "{}", "[]", '{"$numberInt":5}', '{"$numberInt":"x"}', "1.5", "9" * 30,
        '{"$oid":"zz"}', '{"$binary":{"base64":"AA==","subType":"04"}}', '{"a":1,"b":2}', "/" + "a/" * 40 + "b",
    ],
)  # fmt: skip
def test_tricks_are_refused(text: str) -> None:
    """Whatever could be read in two ways names no realm (code 204)."""
    with pytest.raises(IllegalPathError):
        proper_path(text, "ada")


@pytest.mark.parametrize("path", ["/shared/board", "/ada/Zürich 2", "/shared/s_a%2Fb", "/x/~weird", "/A", "/a"])
def test_file_names_can_be_reversed(path: str, tmp_path: object) -> None:
    """A data directory can be listed without opening the files."""
    data = DataDirectory(str(tmp_path))
    file = data.realm_file(path)
    file.parent.mkdir(parents=True)
    file.touch()
    assert list(data.realm_files()) == [(path, file)]
    assert file.name == file.name.replace("A", "a") or "%" in file.name


def test_long_paths_are_named_by_their_hash(tmp_path: object) -> None:
    """File names stay below what file systems allow."""
    data = DataDirectory(str(tmp_path))
    one, other = (data.realm_file("/shared/" + "ü" * 500 + end) for end in "ab")
    assert one != other
    assert len(one.name.encode()) < 255
