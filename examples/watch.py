"""Print the shared tasks of `tasks.py` whenever anybody changes them, until Ctrl-C."""

from __future__ import annotations

import contextlib
import time

from tasks import Task, open_tasks


def main() -> None:
    with open_tasks() as realm:
        while True:
            if realm.refresh():
                print(*(f"{task.title} ({task.votes})" for task in realm.objects(Task)), sep=", ", flush=True)
            time.sleep(0.2)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
