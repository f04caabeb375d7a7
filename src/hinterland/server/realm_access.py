"""Who may see and change what in one query-based realm: decisions kept for the users at hand, and renewed.

Composes the pure decisions of `hinterland.permissions` with a realm's file, for whoever keeps the clients' views.

Source: spec flx.md §2.6, §3.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from hinterland.changeset.instructions import Changeset, Instruction
from hinterland.permissions.concern import Concern, concern_of
from hinterland.permissions.foundation import enrolment
from hinterland.permissions.policy import Policy
from hinterland.permissions.rules import Rules
from hinterland.permissions.subject import Subject
from hinterland.permissions.system_classes import REALM
from hinterland.permissions.upload import ObjectName, UploadCheck
from hinterland.server.schema_guard import SchemaChangeRefusedError
from hinterland.store.access_state import StoreAccess
from hinterland.store.store import Store
from hinterland.values import Key

__all__ = ["RealmAccess"]

POLICIES_MAX: Final = 10_000
"""For so many users decisions are kept; those of others are worked out anew."""


class RealmAccess:
    """See the module. All methods need a transaction, and see what has been flushed in it.

    Args:
        store: The realm's file.
        subject_of: Gives what is known of a user by identity; called when a policy is worked out.
        rules: The realm's rules, if it has any.
    """

    def __init__(self, store: Store, subject_of: Callable[[str], Subject], rules: Rules | None = None) -> None:
        self._store = store
        self._subject_of = subject_of
        self._rules = rules
        self._state = StoreAccess(store)
        self._policies: OrderedDict[str, Policy] = OrderedDict()
        self._schema_version = -1
        self._general: frozenset[Key] | None = None
        self._pending: Concern | None = None
        self._check: tuple[str, UploadCheck] | None = None

    # -- decisions -------------------------------------------------------------------------------

    def policy(self, user: str) -> Policy:
        """Return what a user may do, by how the realm is in this transaction."""
        self._renew()
        policy = self._policies.get(user)
        if policy is None:
            policy = Policy.resolve(self._subject_of(user), self._state, self._rules)
            self._policies[user] = policy
            if len(self._policies) > POLICIES_MAX:
                self._policies.popitem(last=False)
        else:
            self._policies.move_to_end(user)
        return policy

    def read_filter(self, user: str, class_name: str) -> str:
        """Return the condition that objects must meet for a user to see them; empty for none."""
        return self.policy(user).of(class_name).readable_text

    def query_refusal(self, user: str, class_name: str, properties: Iterable[tuple[str, str]]) -> str | None:
        """Return why a user may not ask a query; see `Policy.query_refusal`."""
        return self.policy(user).query_refusal(class_name, properties)

    def hidden(self, user: str, class_name: str) -> frozenset[str]:
        """Return the properties of a class that a user never gets to see."""
        return self.policy(user).of(class_name).hidden

    def is_open(self, user: str) -> bool:
        """Return whether nothing that a user writes needs to be judged, but for changes of the schema."""
        policy = self.policy(user)
        return policy.is_admin or policy.is_unrestricted

    # -- uploads ---------------------------------------------------------------------------------

    def before(self, store: Store, user: str, changeset: Changeset) -> Mapping[ObjectName, str]:
        """Judge a changeset by how things are before it is applied: which objects' changes are refused, and why.

        Raises:
            SchemaChangeRefusedError: It changes the schema, which the user may not.
        """
        self._flush(store)
        check = UploadCheck(self.policy(user), changeset)
        check.before(self._state)
        if check.schema_refusal is not None:
            raise SchemaChangeRefusedError(check.schema_refusal)
        self._check = user, check
        return dict(check.refused)

    def after(self, store: Store, user: str, changeset: Changeset) -> Mapping[ObjectName, str]:
        """Judge the same changeset by how things are with what is left of it; return what is refused beside."""
        assert self._check is not None, "before() comes first"
        assert self._check[0] == user, "before() was called for another user"
        self._flush(store)
        check = self._check[1]
        known = set(check.refused)
        check.after(self._state, applied=changeset)
        return {name: reason for name, reason in check.refused.items() if name not in known}

    def _flush(self, store: Store) -> None:
        if store.transaction is not None:
            store.transaction.flush()

    # -- following changes -----------------------------------------------------------------------

    def applied(self, changeset: Changeset) -> Concern | None:
        """Note what was applied; from now on decisions are by how the realm is with it.

        Returns:
            Whom it may concern: their views are to be made anew if their policy's fingerprint has changed.
        """
        if self._general is None:
            self._general = self._state.general_permissions()
        concern = concern_of(changeset, self._general)
        if concern is not None:
            self._pending = concern | self._pending
        return concern

    def forget(self, user: str | None = None) -> None:
        """Throw decisions away: those about a user of whom something else is known now, or all."""
        if user is None:
            self._policies.clear()
            self._general = None
            self._pending = None
            self._check = None
        else:
            self._policies.pop(user, None)

    def _renew(self) -> None:
        if self._store.schema_version != self._schema_version:
            self.forget()
            self._schema_version = self._store.schema_version
        concern, self._pending = self._pending, None
        if concern is not None:
            if concern.everyone:
                self._general = None
            if self._store.transaction is not None:
                self._store.transaction.flush()
            for user in [user for user, policy in self._policies.items() if policy.is_concerned(concern)]:
                del self._policies[user]

    # -- users -----------------------------------------------------------------------------------

    def enrolments(self, users: Iterable[str]) -> list[Instruction]:
        """Return what makes users known to a realm that has permissions; nothing for those who are."""
        if REALM not in self._store.schema:
            return []
        found: list[Instruction] = []
        for user in users:
            found += enrolment(self._state, user)
        return found
