"""What each thread and process of the concurrency test does: move money between accounts, and look at all of them.

Run as a program: `python -m tests.integration.bank FILE SECONDS SEED [KEY]` prints how many transactions it made.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import hinterland as hl

ACCOUNTS = 20
TOTAL = 1_000 * ACCOUNTS


class Account(hl.Object):
    """The balances of all accounts have one sum, always."""

    number: int = hl.field(primary_key=True)
    balance: int = 1_000
    entries: hl.List[Entry]


class Entry(hl.EmbeddedObject):
    """What came in or went out."""

    amount: int


class Counter(hl.Object):
    """Counts the transactions of everybody."""

    name: str = hl.field(primary_key=True)
    value: int = 0


SCHEMA = [Account, Entry, Counter]


def open_bank(path: str | Path, key: bytes | None = None) -> hl.Realm:
    """Open the bank; whoever is first makes the accounts."""

    def found(realm: hl.Realm) -> None:
        realm.add_all(Account(number=number) for number in range(ACCOUNTS))
        realm.add(Counter(name="transactions"))

    return hl.Realm.open(path, schema=SCHEMA, initial_data=found, durable=False, encryption_key=key)


def work(path: str | Path, seconds: float, seed: int, key: bytes | None = None) -> int:
    """Read and write until the time is over; return the number of transactions that were committed."""
    source = random.Random(seed)
    end = time.monotonic() + seconds
    made = 0
    realm = open_bank(path, key)
    try:
        while made == 0 or time.monotonic() < end:
            choice = source.random()
            if choice < 0.05:
                realm.close()
                realm = open_bank(path, key)
            elif choice < 0.5:
                look(realm)
            elif choice < 0.6:
                fail(realm, source)
            else:
                transfer(realm, source)
                made += 1
    finally:
        realm.close()
    return made


def look(realm: hl.Realm) -> None:
    """One snapshot is whole, whichever way it is read."""
    realm.refresh()
    accounts = realm.objects(Account)
    assert accounts.sum("balance") == TOTAL
    assert sum(one.balance for one in accounts) == TOTAL
    for one in accounts.sorted("number"):
        assert one.balance == 1_000 + sum(entry.amount for entry in one.entries), one


def transfer(realm: hl.Realm, source: random.Random) -> None:
    """Move an amount; both accounts keep an entry, and a busy account is balanced now and then."""
    giver, taker = source.sample(range(ACCOUNTS), 2)
    amount = source.randrange(1, 50)
    with realm.write():
        for number, change in ((giver, -amount), (taker, amount)):
            account = realm.object(Account, number)
            assert account is not None
            account.balance += change
            account.entries.append(Entry(amount=change))
            if len(account.entries) > 20:
                settled = sum(one.amount for one in account.entries)
                account.entries.clear()
                account.entries.append(Entry(amount=settled))
        counter = realm.object(Counter, "transactions")
        assert counter is not None
        counter.value += 1


def fail(realm: hl.Realm, source: random.Random) -> None:
    """Half a transfer that is rolled back."""
    try:
        with realm.write():
            account = realm.object(Account, source.randrange(ACCOUNTS))
            assert account is not None
            account.balance -= 1
            raise InterruptedError
    except InterruptedError:
        pass


if __name__ == "__main__":
    key = bytes.fromhex(sys.argv[4]) if len(sys.argv) > 4 else None
    sys.stdout.write(str(work(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), key)))
