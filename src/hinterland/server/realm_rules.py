"""The rules of realms: one file per realm in the data directory, checked before it is put there.

Source: spec flx.md §3.1.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from hinterland.errors import ConfigurationError, RulesError
from hinterland.permissions.rules import Rules
from hinterland.permissions.rules_document import check_rules, parse_rules
from hinterland.server.layout import DataDirectory
from hinterland.store.store import Store

__all__ = ["install_rules", "load_rules", "remove_rules", "rules_text"]


def rules_text(directory: DataDirectory, path: str) -> str | None:
    """Return the rules of the realm at a path as they were written; None if it has none."""
    try:
        return directory.rules_file(path).read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(f"rules of {path}: {error}") from None


def load_rules(directory: DataDirectory, path: str) -> Rules | None:
    """Return the rules of the realm at a path; None if it has none.

    Raises:
        RulesError: They cannot be read; nobody but admins must be let in then.
    """
    text = rules_text(directory, path)
    return None if text is None else parse_rules(text, source=f"rules of {path}")


def install_rules(directory: DataDirectory, path: str, file: str | Path, *, is_unchecked: bool = False) -> None:
    """Check a document and make it the rules of the realm at a path; a server that runs must be told.

    Args:
        directory: The data directory.
        path: The realm.
        file: The document.
        is_unchecked: Take rules that do not fit the realm's classes, as those may still change.

    Raises:
        RulesError: They are malformed, or do not fit the classes that the realm has.
    """
    try:
        text = Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"rules {file} cannot be read: {error}") from None
    rules = parse_rules(text, source=str(file))
    realm = directory.realm_file(path)
    if realm.exists() and not is_unchecked:
        store = Store.open(realm, read_only=True)
        try:
            problems = check_rules(rules, store.schema)
        finally:
            store.close()
        if problems:
            raise RulesError(f"{file} does not fit the classes of {path}:\n" + "\n".join(problems))
    target = directory.rules_file(path)
    target.parent.mkdir(exist_ok=True)
    draft = target.with_suffix(f".{secrets.token_hex(4)}")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(target)


def remove_rules(directory: DataDirectory, path: str) -> bool:
    """Remove the rules of the realm at a path; return whether it had any."""
    file = directory.rules_file(path)
    had = file.exists()
    file.unlink(missing_ok=True)
    return had
