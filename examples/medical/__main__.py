"""A morning in a hospital: a server with rules and the devices of four people, in front of your eyes.

python -m examples.medical
"""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import hinterland as hl
from examples.local_server import TIMEOUT_S, LocalServer, serve, settle
from examples.medical.app import PATH, admit, find, measure, open_hospital, records
from examples.medical.model import Patient

RULES = Path(__file__).with_name("rules.toml")
undone: queue.SimpleQueue[str] = queue.SimpleQueue()


def main() -> None:
    with TemporaryDirectory() as folder, serve(Path(folder) / "server") as server, ExitStack() as stack:
        hl.sync_directory(Path(folder) / "devices")  # all devices are on this machine
        users = {name: server.register(name) for name in ("dora", "nils", "nora", "pat")}
        found_hospital(server, users["pat"].identity)
        staff(server, "dora", "doctor", '["A", "B"]')
        staff(server, "nils", "nurse", '["A"]')
        staff(server, "nora", "nurse", '["B"]')
        devices = {name: stack.enter_context(open_hospital(user, on_error)) for name, user in users.items()}
        doras, nils = devices["dora"], devices["nils"]

        show("Dora is the doctor, Nils and Nora are the nurses of ward A and B, Pat is a patient:", devices)
        measure(nils, there(nils, "Pat"), "pulse", 71, users["nils"].identity)
        show("Nils has taken Pat's pulse:", devices)

        print("\nNils changes what Pat suffers from.")
        with nils.write():
            there(nils, "Pat").diagnosis = "laziness"
        print("  undone:", undone.get(timeout=TIMEOUT_S))
        nils.refresh()
        print("  on his device it is", there(nils, "Pat").diagnosis)

        with doras.write():
            there(doras, "Pat").ward = "B"
        show("Dora has moved Pat to ward B:", devices)

        staff(server, "nils", "nurse", '["A", "B"]')
        wait_until(nils, lambda: find(nils, "Pat") is not None)
        show("Nils helps out in ward B from now on:", devices)


def found_hospital(server: LocalServer, pat: str, path: str = PATH) -> None:
    """Write the first records, set the rules, and only then let people in."""
    admin = server.admin()
    with open_hospital(admin, path=path) as realm:
        patient = admit(realm, 1, "Pat", "A", pat)
        with realm.write():
            patient.diagnosis, patient.remarks = "flu", "worries too much"
        admit(realm, 2, "Quinn", "B")
        settle({"admin": realm})
        print("$ hinterland realms rules", path, "--set rules.toml")
        print(server.operate("realms", "rules", path, "--set", str(RULES)))
        admin.permissions.apply("*", path, "write")


def staff(server: LocalServer, name: str, role: str, wards: str) -> None:
    """Say who somebody is and where he works."""
    print(f"$ hinterland users metadata {name} --set role={role} --set wards='{wards}'")
    server.operate("users", "metadata", name, "--set", f"role={role}", "--set", f"wards={wards}")


def there(realm: hl.Realm, name: str) -> Patient:
    patient = find(realm, name)
    assert patient is not None
    return patient


def on_error(session: hl.Session, error: hl.HinterlandError) -> None:
    """Note what the server did not accept; called on a thread of its own, a moment after the realm is as it was."""
    if isinstance(error, hl.WritesUndoneError):
        for class_name, key, reason in error.objects:
            undone.put(f"{class_name} {key}: {reason}")
    else:
        print(f"{session.path}: {error}", file=sys.stderr)


def wait_until(realm: hl.Realm, is_so: Callable[[], bool]) -> None:
    """Wait for what another process of the server's brings about."""
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {TIMEOUT_S} s")
        settle({"": realm})


def show(text: str, devices: dict[str, hl.Realm]) -> None:
    settle(devices)
    print(f"\n{text}")
    for name, realm in devices.items():
        print(f"  {name}:", "; ".join(records(realm)) or "nothing")


if __name__ == "__main__":
    main()
