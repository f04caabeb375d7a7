"""What an application does to a synchronised file: it commits, and it reads."""

from __future__ import annotations

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset, Instruction
from hinterland.store.applier import apply
from hinterland.store.client_history import ClientHistory
from hinterland.store.export import describe_state
from hinterland.sync.realm_file import RealmFile


def commit(file: RealmFile, *instructions: Instruction, timestamp: int = 10) -> int:
    """Make a local commit; return its version."""
    changeset = Changeset(list(instructions))
    with file.store.begin_write() as transaction:
        apply(transaction, changeset)
        version = file.store.version + 1
        ClientHistory.append_local(transaction, version, encode(changeset), timestamp)
        return transaction.commit(version)


def state(file: RealmFile) -> str:
    """The newest state as text."""
    file.store.refresh()
    file.store.begin_read()
    return describe_state(file.store)
