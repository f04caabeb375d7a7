"""A day of a field service: a server and the devices of four people, in front of your eyes.

python -m examples.field_service
"""

from __future__ import annotations

import queue
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import hinterland as hl
from examples.field_service.app import describe, find, open_service, titles
from examples.field_service.model import DISPATCH, Customer, hand_over, leave, open_ticket, prepare
from examples.local_server import TIMEOUT_S, serve, settle

undone: queue.SimpleQueue[str] = queue.SimpleQueue()


def main() -> None:
    with TemporaryDirectory() as folder, serve(Path(folder) / "server") as server:
        hl.sync_directory(Path(folder) / "devices")  # all devices are on this machine
        dee, ada, bob, eve = (server.register(name) for name in ("dee", "ada", "bob", "eve"))
        with open_service(dee, dee.identity, on_error) as office:
            office.subscriptions.wait(TIMEOUT_S)  # the realm's permissions come before they can be changed
            prepare(office, [dee.identity], {"north": [ada.identity, bob.identity], "south": [eve.identity]})
            settle({"Dee": office})
            dee.permissions.apply("*", f"/{dee.identity}/service", "write")  # now others may come in
            acme = add_customer(office, "Acme", "1 Main Street")
            open_ticket(office, "leak", "north", acme)
            open_ticket(office, "roof", "south", acme)
            with (
                open_service(ada, dee.identity, on_error) as adas,
                open_service(bob, dee.identity, on_error) as bobs,
                open_service(eve, dee.identity, on_error) as eves,
            ):
                devices = {"Dee": office, "Ada": adas, "Bob": bobs, "Eve": eves}
                show("Dee has opened a ticket for each crew. Ada and Bob are north, Eve is south:", devices)
                in_the_field(bobs)
                settle(devices)
                hand_over(office, find(office, "leak"), "south")
                show("Dee has handed the leak over to south:", devices)
                hand_over(office, find(office, "roof"), "north")
                with office.write():
                    leave(office, "north", bob.identity)
                show("North has got the roof instead, and Bob has left that crew:", devices)
                promote(bobs, bob)


def in_the_field(realm: hl.Realm) -> None:
    """Work without a network, and send it later."""
    realm.session.pause()
    leak = find(realm, "leak")
    with realm.write():
        leak.notes.append("needs a new valve")
    print("\nBob is offline and sees:", describe(realm, leak))
    realm.session.resume()


def promote(realm: hl.Realm, user: hl.SyncUser) -> None:
    """Try what only the dispatcher may; the server undoes it, and `on_error` is told."""
    with realm.write():
        realm.permissions.role(DISPATCH).members.append(realm.permissions.user(user.identity))
    print("\nBob makes himself a dispatcher.")
    print("  undone:", undone.get(timeout=TIMEOUT_S))
    realm.refresh()
    print("  dispatchers, says his device:", len(realm.permissions.role(DISPATCH).members))


def on_error(session: hl.Session, error: hl.HinterlandError) -> None:
    """Note what the server did not accept; called on a thread of its own, a moment after the realm is as it was."""
    if isinstance(error, hl.WritesUndoneError):
        for class_name, key, reason in error.objects:
            undone.put(f"{class_name} {key}: {reason}")
    else:
        print(f"{session.path}: {error}", file=sys.stderr)


def add_customer(realm: hl.Realm, name: str, address: str) -> Customer:
    with realm.write():
        return realm.add(Customer(name=name, address=address))


def show(text: str, devices: dict[str, hl.Realm]) -> None:
    settle(devices)
    print(f"\n{text}")
    for name, realm in devices.items():
        print(f"  {name} sees", ", ".join(titles(realm)) or "nothing")


if __name__ == "__main__":
    main()
