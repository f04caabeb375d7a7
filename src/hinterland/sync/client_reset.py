"""What happens when the server cannot continue from the local copy: a client reset.

A fresh copy is downloaded into a file beside the realm; then, in one transaction, the realm becomes
equal to it, takes over its ident and, in the recovering modes, makes the local changes again that
were never uploaded. Open realms stay valid and hear of the changes like of any others.

Source: spec wire.md §10.1, features.md §3.9, flx.md §5.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import AddColumn, AddTable, Changeset
from hinterland.errors import ClientResetRequired, HinterlandError, SchemaError, SessionError
from hinterland.realm.configuration import Configuration
from hinterland.schema.difference import difference
from hinterland.store.applier import apply
from hinterland.store.client_history import ClientHistory, ClientProgress, LocalEntry
from hinterland.store.frozen import copy_snapshot
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction
from hinterland.sync.callbacks import call_in_background
from hinterland.sync.connection import ServerConnection
from hinterland.sync.difference import differences, missing_schema
from hinterland.sync.fresh_copy import download_fresh, remove_fresh
from hinterland.sync.kept_copies import keep_copy
from hinterland.sync.loop import BackgroundLoop, Worker
from hinterland.sync.query_file import QueryFile
from hinterland.sync.realm_file import RESET_ATTEMPT, RealmFile
from hinterland.sync.recovery import replay
from hinterland.sync.settings import ResetMode, SyncSettings
from hinterland.values import Key

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["CONFLICT_ADVICE", "Refused", "ResetPlan", "choose_mode", "run_reset"]

CONFLICT_ADVICE: Final = (
    "synchronised realms accept additive changes only: declare it as the server has it, or give the new property"
    " another name, and delete the local copy with Realm.delete_files, for what waits in it cannot be uploaded"
)

log = logging.getLogger("hinterland.sync")


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """Which file to reset.

    `may_recover` unless the server forbids to make local changes again; `refuses` if it refused them, so that
    they are kept aside.
    """

    settings: SyncSettings
    path: Path
    file: RealmFile
    may_recover: bool
    refuses: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Local changes that are no longer in the realm: a copy of it with them, and the objects they were about."""

    backup: Path | None
    objects: tuple[tuple[str, Key], ...]


async def run_reset(
    plan: ResetPlan,
    connect: Callable[[], ServerConnection],
    background: BackgroundLoop,
    worker: Worker,
    cause: ClientResetRequired,
) -> Refused | None:
    """Reset the file as the application chose; its session must have ended.

    Returns:
        What the server refused, if the plan was to keep that aside and there was something of the application's.

    Raises:
        ClientResetRequired: The application wants to do it itself, or it cannot be done.
        SchemaError: The local classes contradict the server's.
    """
    previous = await worker.run(plan.file.reset_attempt)
    mode = plan.settings.client_reset.mode
    recovers = choose_mode(mode, previous, cause, may_recover=plan.may_recover, refuses=plan.refuses)
    log.warning("%s: client reset (%s): %s", plan.path, "recover" if recovers else "discard", cause)
    fresh = await _download_fresh(plan, connect, background, worker, cause)
    before = plan.path.with_name(plan.path.name + ".before-reset")
    reset = plan.settings.client_reset
    try:
        if reset.before is not None or reset.after is not None:
            await worker.run(_copy, plan.file.store, before)
            await call_in_background(_call_before, plan, before)
        try:
            refused = await worker.run(_adopt, plan, fresh, recovers)
        except SchemaError:
            raise
        except HinterlandError as error:
            raise ClientResetRequired(
                cause.number, f"the client reset of {plan.path} failed: {error}", cause.action
            ) from error
        if reset.after is not None:
            await call_in_background(_call_after, plan, before)
        return refused
    finally:
        await worker.run(remove_fresh, fresh)
        await worker.run(remove_fresh, before)


def choose_mode(
    mode: ResetMode, previous: str, cause: ClientResetRequired, *, may_recover: bool, refuses: bool = False
) -> bool:
    """Return whether to recover; raise `cause` when nothing may be done.

    A second reset before the `previous` one has led to a complete exchange means that it does not help (spec
    flx.md §5.1, §5.3). See `ResetPlan` for what the server allows.
    """
    if refuses and mode != "manual":
        return False  # whatever came before: each of these takes changes of its own
    if mode == "manual" or previous == "discard":
        raise cause
    can_recover = may_recover and previous != "recover"
    if mode == "recover" and not can_recover:
        raise cause
    return mode in ("recover", "recover_or_discard") and can_recover


async def _download_fresh(
    plan: ResetPlan,
    connect: Callable[[], ServerConnection],
    background: BackgroundLoop,
    worker: Worker,
    cause: ClientResetRequired,
) -> Path:
    path = plan.path.with_name(plan.path.name + ".fresh")
    query = await worker.run(plan.file.active_query) if isinstance(plan.file, QueryFile) else ""
    try:
        await download_fresh(plan.settings, path, query, connect, background)
    except SessionError as error:
        text = f"the client reset of {plan.path} failed: {error.message} (what asked for it: {cause.message})"
        raise SessionError(error.number, text, error.action) from error
    return path


def _adopt(plan: ResetPlan, fresh_path: Path, recovers: bool) -> Refused | None:
    """Make the realm equal to the fresh copy, in one transaction."""
    live = plan.file.store
    fresh = Store.open(fresh_path, read_only=True, key=live.key)
    try:
        fresh.begin_read()
        live.begin_read()
        difference(fresh.schema, live.schema, advice=CONFLICT_ADVICE)
        theirs = ClientHistory(fresh.connection)
        with live.begin_write() as transaction:
            history = ClientHistory(live.connection)
            pending = list(history.entries(history.progress.upload_client))
            refused = _set_aside(plan.path, live.key, pending) if plan.refuses else None
            unknown = missing_schema(live, fresh)
            ClientHistory.forget(transaction)
            progress = theirs.progress
            # The server knows nothing of our versions under the new ident (wire.md §10.1 step 7).
            adopted = ClientProgress(progress.latest_version, progress.latest_salt, progress.download_server)
            ClientHistory.store_ident(transaction, theirs.ident, lambda changeset, _: changeset)
            ClientHistory.set_progress(transaction, adopted)
            for changeset in differences(live, fresh):
                apply(transaction, changeset)
            again: list[_Again] = []
            if not plan.refuses:  # who may not write may not bring classes either
                again.append(_Again(0, unknown, min((entry.timestamp for entry in pending), default=0)))
            if recovers:
                replayed = _replay(plan.path, transaction, pending)
                again += (
                    _Again(entry.version, one, entry.timestamp) for entry, one in zip(pending, replayed, strict=True)
                )
            transaction.flush()
            version, moved = _append(transaction, again)
            if isinstance(plan.file, QueryFile):
                keeps_sets = recovers or plan.refuses  # nobody refused those
                plan.file.renew_sets(transaction, moved if keeps_sets else None, adopted.download_server)
            transaction.set_setting(RESET_ATTEMPT, "recover" if recovers else "discard")
            transaction.commit(version)
        plan.file.restart()
    finally:
        live.end_read()
        fresh.close()
    return refused


def _replay(path: Path, transaction: WriteTransaction, pending: list[LocalEntry]) -> list[Changeset]:
    """Make what was not uploaded again; a second reader sees the realm as it was before the transaction."""
    local = Store.open(path, read_only=True, key=transaction.store.key)
    try:
        local.begin_read()
        return replay(transaction, (entry.changeset for entry in pending), local)
    finally:
        local.close()


class _Again(NamedTuple):
    """A local change to upload: the version that it had, 0 if none."""

    version: int
    changeset: Changeset
    timestamp: int


def _append(transaction: WriteTransaction, again: list[_Again]) -> tuple[int, list[tuple[int, int]]]:
    """Keep changesets for upload, each as a version of its own with its time.

    Returns:
        The last version, and which version became which.
    """
    version = transaction.store.version
    moved = []
    for one in again:
        if one.changeset.instructions:
            version += 1
            ClientHistory.append_local(transaction, version, encode(one.changeset), one.timestamp)
            moved.append((one.version, version))
    return max(version, transaction.store.version + 1), moved


def _set_aside(path: Path, key: bytes | None, pending: list[LocalEntry]) -> Refused | None:
    """Copy the realm as it was committed, with all that was not uploaded: nobody else writes meanwhile."""
    objects: dict[tuple[str, Key], None] = {}
    for entry in pending:
        for one in decode(entry.changeset).instructions:
            name = getattr(one, "key", None)
            if name is not None and not isinstance(one, (AddTable, AddColumn)):
                objects[one.class_name, name] = None
    return Refused(keep_copy(path, key), tuple(objects)) if objects else None


def _copy(store: Store, target: Path) -> None:
    remove_fresh(target)
    store.end_read()
    copy_snapshot(store, target)


@contextmanager
def _realm(path: Path, settings: SyncSettings) -> Iterator[Realm]:
    from hinterland.realm.realm import Realm

    realm = Realm.open(
        Configuration(path=path, schema=settings.schema, read_only=True, encryption_key=settings.encryption_key)
    )
    try:
        yield realm
    finally:
        realm.close()


def _call_before(plan: ResetPlan, before: Path) -> None:
    if plan.settings.client_reset.before is not None:
        with _realm(before, plan.settings) as realm:
            plan.settings.client_reset.before(realm)


def _call_after(plan: ResetPlan, before: Path) -> None:
    assert plan.settings.client_reset.after is not None
    with _realm(before, plan.settings) as old, _realm(plan.path, plan.settings) as new:
        plan.settings.client_reset.after(old, new)
