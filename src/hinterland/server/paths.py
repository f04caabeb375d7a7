"""Names of realms: what clients may send in BIND, and the one proper form each name has.

A proper path is `/segment[/segment...]`. Clients send

- a path, `~` as first segment standing for their own identity: `/~/tasks`, `/shared/board`;
- the same as a JSON string: `"/~/tasks"`;
- a partition value of an original SDK as extended JSON (wire.md §9.1): `"team-7"`,
  `{"$numberInt":"5"}`, `{"$oid":"..."}`, a UUID, `null`. Values become realms below `/shared`, named by
  type and value (`/shared/s_team-7`, `/shared/i_5`); a value that is the user's own identity becomes
  the realm `/<identity>/partition`, which is theirs alone.

Whatever could be read in two ways (`..`, encodings, control characters, unnormalised Unicode) is refused.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from typing import Final
from urllib.parse import quote
from uuid import UUID

from hinterland.errors import UsageError
from hinterland.values import INT_MAX, INT_MIN, ObjectId

__all__ = ["IllegalPathError", "proper_path"]

PATH_BYTES_MAX: Final = 1024
SEGMENTS_MAX: Final = 32
SHARED: Final = "shared"

_is_segment = re.compile(r"[\w\-.@|:+= ]+").fullmatch
_FORBIDDEN_ENDINGS: Final = (".realm", ".realm.lock", ".realm.management", ".hldb")


class IllegalPathError(UsageError):
    """A realm's path is malformed."""

    code = "HL-U010"


def proper_path(text: str, user: str) -> str:
    """Return the proper path of the realm that a user names `text`.

    Raises:
        IllegalPathError: It names no realm.
    """
    raw = text.encode("utf-8", "surrogatepass")
    if not 0 < len(raw) <= PATH_BYTES_MAX:
        raise IllegalPathError(f"a realm path has 1 to {PATH_BYTES_MAX} bytes, not {len(raw)}")
    if text[0] == "/":
        return _path(text, user)
    if text[0] in '"{' or text == "null" or text[0] in "-0123456789":
        return _partition(text, user)
    return _path("/" + text, user)


def _path(text: str, user: str) -> str:
    segments = text[1:].split("/")
    if segments[0] == "~":
        segments[0] = user
        if len(segments) == 1:
            raise IllegalPathError(f"{text!r} names a user, not a realm")
    if len(segments) > SEGMENTS_MAX:
        raise IllegalPathError(f"a realm path has at most {SEGMENTS_MAX} segments")
    for segment in segments:
        _check_segment(segment, text)
    return "/" + "/".join(segments)


def _check_segment(segment: str, text: str) -> None:
    if not _is_segment(segment) or segment != segment.strip():
        raise IllegalPathError(
            f"{text!r}: {segment!r} is not a segment; letters, digits and _ - . @ | : + = are allowed"
        )
    if segment[0] == "." or segment.lower().endswith(_FORBIDDEN_ENDINGS):
        raise IllegalPathError(f"{text!r}: {segment!r} may not start with a dot or end like a realm file")
    if not unicodedata.is_normalized("NFC", segment):
        raise IllegalPathError(f"{text!r}: {segment!r} is not in Unicode normal form C")


def _partition(text: str, user: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise IllegalPathError(f"{text[:100]!r} is neither a path nor a partition value") from None
    if isinstance(value, str):
        if value.startswith("/"):
            return _path(value, user)
        if value == user and user:
            return f"/{user}/partition"
        return _named("s", value)
    if value is None:
        return f"/{SHARED}/null"
    try:
        return _typed(value)
    except (ValueError, TypeError, KeyError):
        raise IllegalPathError(f"{text[:100]!r} is not a partition value that names a realm") from None


def _typed(value: object) -> str:
    """Name the realm of a number, ObjectId or UUID; int32 and int64 of one value are one realm."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _number(value)
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(value)
    ((kind, content),) = value.items()
    if kind in ("$numberInt", "$numberLong") and isinstance(content, str):
        if not re.fullmatch(r"-?[0-9]{1,19}", content):
            raise ValueError(content)
        return _number(int(content))
    if kind == "$oid":
        return _named("o", str(ObjectId(str(content))))
    if kind == "$uuid":
        return _named("u", str(UUID(str(content))))
    if kind == "$binary" and isinstance(content, dict) and content.get("subType") in ("04", "4"):
        return _named("u", str(UUID(bytes=base64.b64decode(content["base64"], validate=True))))
    raise ValueError(value)


def _number(value: int) -> str:
    if not INT_MIN <= value <= INT_MAX:
        raise ValueError(value)
    return _named("i", str(value))


def _named(kind: str, value: str) -> str:
    # Percent signs cannot occur in paths that users write, so encoded names collide with none of those.
    try:
        return f"/{SHARED}/{kind}_{quote(value, safe='')}"
    except UnicodeEncodeError:
        raise IllegalPathError(f"{value!r} is not valid Unicode") from None
