"""A client process of the crash test: writes until it has enough rows; may be killed at any moment.

Each commit makes one row, adds one to a shared counter and one to the client's own, so that a commit that
is lost, torn or applied twice shows. Prints a line per commit and per acknowledgement.

Arguments: server URL, name, number of rows; and `finish` to end with everything exchanged.
"""

from __future__ import annotations

import sys

import hinterland as hl

ACKNOWLEDGEMENT_WAIT_S = 0.2
FINISH_WAIT_S = 60.0


class Counter(hl.Object):
    name: str = hl.field(primary_key=True)
    value: int = 0


class Row(hl.Object):
    name: str = hl.field(primary_key=True)
    number: int = 0


def main(server: str, name: str, rows: int, *, finish: bool) -> None:
    credentials = hl.Credentials.username_password(name, "secret", register=True)
    user = next(iter(hl.SyncUser.all.values()), None) or hl.SyncUser.log_in(server, credentials)
    configuration = user.configuration("/shared/crash", schema=[Counter, Row])
    with hl.Realm.open(configuration) as realm:
        number = sum(row.name.startswith(name) for row in realm.objects(Row))
        say(f"opened {number}")
        while number < rows:
            with realm.write():
                realm.add(Row(name=f"{name}{number}", number=number))
                for counter in ("all", name):
                    found = realm.object(Counter, counter) or realm.add(Counter(name=counter))
                    found.increment("value")
            say(f"committed {number}")
            try:
                realm.session.wait_for_upload(timeout=ACKNOWLEDGEMENT_WAIT_S)
                say(f"acknowledged {number}")
            except hl.TimedOutError:
                realm.session.reconnect()
            number += 1
        if finish:
            realm.session.wait_for_upload(timeout=FINISH_WAIT_S)
            realm.session.wait_for_download(timeout=FINISH_WAIT_S)
            realm.refresh()
            counters = {one.name: one.value for one in realm.objects(Counter)}
            names = sorted(one.name for one in realm.objects(Row))
            say(f"state {sorted(counters.items())} {names}")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), finish=sys.argv[4:] == ["finish"])
