"""Turn a local realm into a synchronised one: `Realm.attach`.

The whole content of the local realm becomes local changes of the synchronised one, in one transaction: after a
crash either nothing has happened or all of it. The transaction also notes from which version of which local
realm it came, so attaching once more copies nothing twice.

    local realm:         setting `attach.token`              a random name, made at the first try
    synchronised realm:  setting `sync.attached.<token>`     the version of the local realm that is in it

Source: spec features.md S29, api.md "Users and synced realms".
"""

from __future__ import annotations

import uuid
from typing import Final

from hinterland.changeset.encoder import encode
from hinterland.errors import UsageError
from hinterland.realm.configuration import Configuration
from hinterland.schema.types import Schema
from hinterland.schema.validation import validate
from hinterland.store.applier import apply
from hinterland.store.client_history import ClientHistory
from hinterland.store.store import Store
from hinterland.sync.copying import Copier, Progress, check_fit, check_subscribed
from hinterland.sync.difference import missing_schema
from hinterland.sync.wire_time import wire_timestamp
from hinterland.values import ClassKind

__all__ = ["attach"]

TOKEN: Final = "attach.token"  # noqa: S105 - a name, not a secret
ATTACHED: Final = "sync.attached."


def attach(configuration: Configuration, local_path: str, local_key: bytes | None, progress: Progress | None) -> None:
    """Copy the local realm into the synchronised one, which has been prepared.

    Raises:
        SchemaError: A class or property has another form there, or in the program.
        NoSubscriptionError: The synchronised one is query-based and asks for no objects of a class.
        UsageError: The local realm is a synchronised one, or a class has no primary key.
    """
    local = Store.open(local_path, key=local_key)
    try:
        if ClientHistory(local.connection).exists:
            raise UsageError(f"{local_path} is not a local realm: it has been synchronised; use copy_objects")
        declared = validate(one.__hinterland__ for one in configuration.schema or ())
        target = str(configuration.path)
        check_fit(local.schema, Schema.of(one.schema for one in declared.values()), local_path, "the declared classes")
        token = _token(local)
        with local.begin_write() as pause:  # nobody else writes to it until the copy is done
            synced = Store.open(target, key=configuration.encryption_key)
            try:
                check_fit(local.schema, synced.schema, local_path, target)
                check_subscribed(local, synced, local.tables)
                _copy(local, synced, ATTACHED + token, progress)
            finally:
                synced.close()
            pause.rollback()
    finally:
        local.close()


def _token(local: Store) -> str:
    with local.begin_write() as transaction:
        token = local.setting(TOKEN)
        if not isinstance(token, str):
            token = uuid.uuid4().hex
            transaction.set_setting(TOKEN, token)
            transaction.commit(local.version)
        else:
            transaction.rollback()
    return token


def _copy(local: Store, synced: Store, mark: str, progress: Progress | None) -> None:
    """Copy everything in one transaction, as changesets of at most a thousand objects."""
    with synced.begin_write() as transaction:
        if synced.setting(mark) == local.version:
            transaction.rollback()
            return
        version, timestamp = synced.version, wire_timestamp()
        schema = missing_schema(local, synced)
        apply(transaction, schema)
        if schema.instructions:
            version += 1
            ClientHistory.append_local(transaction, version, encode(schema), timestamp)
        names = [one.name for one in local.schema if one.kind is not ClassKind.EMBEDDED]
        copier = Copier(local, synced, names)
        copied = 0
        for batch in copier.batches():
            changeset = copier.copy(transaction, batch)
            if changeset.instructions:
                copier.forget_asymmetric(batch)
                version += 1
                ClientHistory.append_local(transaction, version, encode(changeset), timestamp)
            copied += len(batch)
            if progress is not None:
                progress(copied, copier.total)
        transaction.set_setting(mark, local.version)
        transaction.commit(version)
