"""Who may see and change what in one query-based realm: decisions kept for the users at hand, and renewed.

Composes the pure decisions of `hinterland.permissions` with a realm's file, for whoever keeps the clients' views.

Source: spec flx.md §2.6, §3.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from hinterland.changeset.instructions import Changeset, Instruction
from hinterland.permissions.concern import Concern, concern_of
from hinterland.permissions.foundation import enrolment, foundation
from hinterland.permissions.policy import Policy
from hinterland.permissions.privileges import Entry
from hinterland.permissions.rules import Rules
from hinterland.permissions.subject import Subject
from hinterland.permissions.system_classes import REALM
from hinterland.permissions.upload import ObjectName, UploadCheck
from hinterland.server.schema_guard import SchemaChangeRefusedError
from hinterland.server.views.access import NOTHING, Asked
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
        problem: Why its rules cannot be read; nobody but admins is served then.
    """

    def __init__(
        self, store: Store, subject_of: Callable[[str], Subject], rules: Rules | None = None, *, problem: str = ""
    ) -> None:
        self._store = store
        self._subject_of = subject_of
        self._rules = rules
        self._problem = problem
        self._state = _SharedState(store)
        self._filters: dict[tuple[str, str], str] = {}
        self._changed: set[str] | None = set()
        self._has_evicted = False
        self._is_unsettled = False
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
                self._has_evicted = True
        else:
            self._policies.move_to_end(user)
        return policy

    def problem(self, user: str) -> str:
        """Return why a user cannot be served at all; empty if nothing is wrong."""
        return self._problem if self._problem and not self._subject_of(user).is_admin else ""

    def set_rules(self, rules: Rules | None, *, problem: str = "") -> None:
        """From now on use other rules, or let nobody in because of a problem with them."""
        if (rules, problem) != (self._rules, self._problem):
            self._rules, self._problem = rules, problem
            self.forget()

    def read_filter(self, user: str, class_name: str) -> str:
        """Return the condition that objects must meet for a user to see them; empty for none.

        One that does not fit the schema, because a property is missing still, lets nothing through.
        """
        text = self.policy(user).of(class_name).readable_text
        if text in ("", NOTHING):
            return text
        known = self._filters.get((class_name, text))
        if known is None:
            if len(self._filters) > POLICIES_MAX:
                self._filters.clear()
            known = text if self._state.fits(class_name, text) else NOTHING
            self._filters[class_name, text] = known
        return known

    def query_refusal(self, user: str, class_name: str, asked: Asked) -> str | None:
        """Return why a user may not ask a query; see `Policy.query_refusal`."""
        return self.policy(user).query_refusal(class_name, asked.properties, is_all_known=asked.is_known)

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
            Whom it may concern, None if nobody.
        """
        if self._general is None:
            self._general = self._state.general_permissions()
        concern = concern_of(changeset, self._general)
        if concern is not None:
            self._pending = concern | self._pending
            self._is_unsettled = True
        return concern

    def begin(self) -> None:
        """Note that a transaction begins: what was applied until now stands."""
        self._is_unsettled = False

    def undo(self) -> None:
        """Note that the transaction, or a part of it, was rolled back."""
        if self._is_unsettled:
            self.forget()

    def forget(self, user: str | None = None) -> None:
        """Throw decisions away: those about a user of whom something else is known now, or all."""
        if user is None:
            self._policies.clear()
            self._filters.clear()
            self._state.forget()
            self._general = None
            self._pending = None
            self._check = None
            self._changed = None
        else:
            self._policies.pop(user, None)
            if self._changed is not None:
                self._changed.add(user)

    def take_changes(self) -> Collection[str] | None:
        """Return those for whom other decisions may have come since the last call; None for everybody."""
        self._renew()
        changed, self._changed = self._changed, set()
        return changed

    def _renew(self) -> None:
        if self._store.schema_version != self._schema_version:
            self.forget()
            self._schema_version = self._store.schema_version
        concern, self._pending = self._pending, None
        if concern is not None:
            if self._store.transaction is not None:
                self._store.transaction.flush()
            if concern.everyone:
                self._general = None
                self._state.forget()
            concerned = [user for user, policy in self._policies.items() if policy.is_concerned(concern)]
            for user in concerned:
                del self._policies[user]
            if concern.everyone or self._has_evicted:
                self._changed = None
            elif self._changed is not None:
                self._changed.update(concerned)

    # -- what the server adds --------------------------------------------------------------------

    def foundation(self) -> list[Instruction]:
        """Return what gives the realm the classes in which permissions are kept."""
        return foundation(self._state)

    def enrolments(self, users: Iterable[str]) -> list[Instruction]:
        """Return what makes users known to a realm that has permissions; nothing for those who are."""
        return enrolment(self._state, *users) if REALM in self._store.schema else []


class _SharedState(StoreAccess):
    """The realm's state, where the lists that concern everybody are read once for all."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._realm_entries: list[list[Entry] | None] = []
        self._class_entries: Mapping[str, Sequence[Entry]] | None = None

    def forget(self) -> None:
        """One of these lists may have changed."""
        self._realm_entries.clear()
        self._class_entries = None

    def realm_entries(self) -> list[Entry] | None:
        """See `StoreAccess`."""
        if not self._realm_entries:
            self._realm_entries.append(super().realm_entries())
        return self._realm_entries[0]

    def class_entries(self) -> Mapping[str, Sequence[Entry]]:
        """See `StoreAccess`."""
        if self._class_entries is None:
            self._class_entries = super().class_entries()
        return self._class_entries
