"""The text in which a set of subscriptions is asked for: one JSON object, from class names to queries.

Queries that ask for links alike are joined by OR. A class whose queries all leave links alone has one text, as
original clients send it; others have a list of parts, which servers of ours understand.

Source: spec flx.md §1.4.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, Literal

from hinterland.permissions.system_classes import SYSTEM_QUERIES
from hinterland.schema.types import Schema
from hinterland.store.subscription_sets import StoredSubscription

__all__ = ["LINKS", "Links", "query_json"]

Links = Literal["closure", "none"]
LINKS: Final = ("closure", "none")


def query_json(subscriptions: Iterable[StoredSubscription], schema: Schema) -> str:
    """Return what the server is asked, with the classes of permissions if the file has them."""
    asked: dict[str, dict[tuple[str, tuple[str, ...]], set[str]]] = {}
    for one in subscriptions:
        if one.refused is None:
            asked.setdefault(one.class_name, {}).setdefault((one.links, one.include), set()).add(one.query)
    if any(name in schema for name in SYSTEM_QUERIES):
        for name, query in SYSTEM_QUERIES.items():
            asked.setdefault(name, {}).setdefault(("none", ()), set()).add(query)
    whole = {name: _parts(parts) for name, parts in asked.items()}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _parts(parts: dict[tuple[str, tuple[str, ...]], set[str]]) -> str | list[dict[str, object]]:
    joined = {key: " OR ".join(f"({query})" for query in sorted(queries)) for key, queries in sorted(parts.items())}
    if joined.keys() == {("none", ())}:
        return joined["none", ()]
    found: list[dict[str, object]] = []
    for (links, include), query in joined.items():
        part: dict[str, object] = {"query": query, "links": links}
        found.append({**part, "include": include} if include else part)
    return found
