"""A shared task list on the command line that works offline.

hinterland serve --data ./data          # in another terminal
python tasks.py log-in ada secret
python tasks.py add "Write the report"
python tasks.py vote "Write the report"
python tasks.py list
"""

from __future__ import annotations

import sys

import hinterland as hl

SERVER = "http://localhost:9080"


class Task(hl.Object):
    title: str = hl.field(primary_key=True)
    done: bool = False
    votes: int = 0


def open_tasks() -> hl.Realm:
    user = hl.SyncUser.current
    if user is None:
        sys.exit("log in first: tasks.py log-in NAME PASSWORD")
    return hl.Realm.open(user.configuration("/shared/tasks", schema=[Task]))


def show(realm: hl.Realm) -> None:
    try:
        realm.session.wait_for_download(timeout=2)
    except hl.TimedOutError:
        print("(offline: this is what was here last)")
    realm.refresh()
    for task in realm.objects(Task).sorted(("votes", "desc"), "title"):
        print("x" if task.done else "-", f"{task.votes:3}", task.title)


def main(command: str, *arguments: str) -> None:
    if command == "log-in":
        name, password = arguments[0], arguments[1]
        try:
            hl.SyncUser.log_in(SERVER, hl.Credentials.username_password(name, password, register=True))
        except hl.AuthenticationError:  # the account exists: this is another device of the same person
            hl.SyncUser.log_in(SERVER, hl.Credentials.username_password(name, password))
        return
    with open_tasks() as realm:
        if command == "list":
            show(realm)
            return
        with realm.write():
            if command == "add":
                realm.create(Task, {"title": arguments[0]}, update="modified")
                return
            task = realm.object(Task, arguments[0])
            if task is None:
                sys.exit(f"there is no task {arguments[0]!r}")
            if command == "vote":
                task.increment("votes", 1)
            elif command == "done":
                task.done = True
            elif command == "remove":
                realm.delete(task)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except hl.HinterlandError as error:
        sys.exit(f"tasks.py: {error}")
    except IndexError:
        sys.exit(__doc__)
