"""The command line: `hinterland serve`, `hinterland token` and what an operator needs beside them.

Only `hinterland version` and `hinterland realms check` work without the `server` extra; the rest says what to install.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from hinterland._version import __version__
from hinterland.administration import add_administration
from hinterland.console import DATA_HELP, configuration, existing_configuration, print_rows
from hinterland.demo import add_demo_options, run_demo
from hinterland.errors import ConfigurationError, HinterlandError
from hinterland.store.connection import check_key

__all__ = ["main"]

_KEY_VARIABLE: Final = "HINTERLAND_REALM_KEY"
_EXIT_USAGE: Final = 2
_EXIT_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 0
    except ConfigurationError as error:
        print(f"hinterland: {error}", file=sys.stderr)
        return _EXIT_USAGE
    except HinterlandError as error:
        print(f"hinterland: {error} ({error.code})", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hinterland",
        description="An offline-first object database and the server that keeps every copy in sync.",
        epilog="Every option of `serve` can also be given as environment variable, for example HINTERLAND_PORT=80.",
    )
    parser.set_defaults(run=lambda _: parser.print_help())
    parser.add_argument("--version", action="version", version=f"hinterland {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_serve(commands)
    _add_realms(commands)
    add_administration(commands)
    demo = commands.add_parser("demo", help="watch three offline apps edit one realm and come out equal")
    add_demo_options(demo)
    demo.set_defaults(run=run_demo)
    commands.add_parser("version", help="print the version").set_defaults(run=_version)
    return parser


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser("serve", help="run the server", description="Run the server until Ctrl-C.")
    serve.add_argument("--data", metavar="DIR", help=DATA_HELP)
    serve.add_argument("--address", help="where to listen (default 127.0.0.1; 0.0.0.0 for all interfaces)")
    serve.add_argument("--port", type=int, help="port (default 9080; 0 chooses a free one)")
    serve.add_argument("--public-url", metavar="URL", help="how clients reach the server, if behind a proxy")
    serve.add_argument("--workers", type=int, metavar="N", help="threads that read and write realms (default: by CPUs)")
    serve.add_argument("--tls-certificate", metavar="FILE", help="PEM certificate; with --tls-key enables TLS")
    serve.add_argument("--tls-key", metavar="FILE", help="PEM key")
    serve.add_argument(
        "--no-durable", dest="durable", action="store_false", default=None, help="do not fsync at each commit"
    )
    serve.add_argument(
        "--development",
        action="store_true",
        default=None,
        help="let people log in without a secret and bring classes to any realm, print mails here; never in production",
    )
    _add_view_limits(serve)
    serve.add_argument("--verbose", action="store_true", help="log more")
    serve.set_defaults(run=_serve)


def _add_view_limits(serve: Any) -> None:
    limits = serve.add_argument_group("query-based realms")
    limits.add_argument(
        "--open-schemas",
        action="store_true",
        default=None,
        help="let all who may write bring classes and properties, not only those who manage the realm",
    )
    limits.add_argument(
        "--subscriptions-max", type=int, metavar="N", help="subscriptions that a client may have (default 1000)"
    )
    limits.add_argument(
        "--queries-bytes-max", type=int, metavar="N", help="length of all subscriptions of a client (default 1048576)"
    )
    limits.add_argument(
        "--scan-objects-max",
        type=int,
        metavar="N",
        help="classes with more objects may only be asked what an index serves (default 100000)",
    )
    limits.add_argument(
        "--allow-scans", action="store_true", default=None, help="let queries look at all objects of any class"
    )
    limits.add_argument(
        "--bootstraps-max", type=int, metavar="N", help="clients that are served new subscriptions at once (default 32)"
    )
    limits.add_argument(
        "--view-ttl",
        metavar="TIME",
        help="forget what a client has seen when it is away for longer, such as 30d (default 60d, or never)",
    )


def _add_realms(commands: Any) -> None:
    realms = commands.add_parser("realms", help="look at realms")
    realms.set_defaults(run=lambda _: realms.print_help())
    actions = realms.add_subparsers(metavar="ACTION")
    listing = actions.add_parser("list", help="list all realms")
    listing.add_argument("--data", metavar="DIR", help=DATA_HELP)
    listing.add_argument("--json", action="store_true", help="one JSON array")
    listing.set_defaults(run=_realms_list)
    locking = actions.add_parser(
        "lock-down",
        help="let everyone but admins only read a query-based realm",
        description="Make a query-based realm safe: everyone may read and query, the role 'admins' may do everything."
        " Lists of single objects stay as they are. No server may run on the data directory.",
    )
    locking.add_argument("path", metavar="PATH", help="path of the realm on the server, such as /app")
    locking.add_argument("--admin", action="append", default=[], metavar="IDENTITY", help="user to make an admin of it")
    locking.add_argument(
        "--editable", action="append", default=[], metavar="CLASS", help="class in which everyone may still write"
    )
    locking.add_argument("--data", metavar="DIR", help=DATA_HELP)
    locking.add_argument("--json", action="store_true", help="print a JSON object")
    locking.set_defaults(run=_realms_lock_down)
    rules = actions.add_parser(
        "rules",
        help="show or set the rules of a query-based realm",
        description="Print the rules of a realm, or set them: a document in TOML or JSON, checked against its classes."
        " A running server follows them within a moment, also for clients that are connected.",
    )
    rules.add_argument("path", metavar="PATH", help="path of the realm on the server, such as /app")
    rules.add_argument("--set", metavar="FILE", dest="file", help="make this document the rules")
    rules.add_argument("--unchecked", action="store_true", help="take rules that do not fit the classes as they are")
    rules.add_argument("--remove", action="store_true", help="remove the rules")
    rules.add_argument("--data", metavar="DIR", help=DATA_HELP)
    rules.set_defaults(run=_realms_rules)
    asked = actions.add_parser(
        "subscriptions",
        help="list who subscribes to what in a query-based realm, and what that costs",
        description="List the subscriptions of a query-based realm, what costs most first. A server may run meanwhile;"
        " ask it (GET /realms/subscriptions/PATH) which of the clients are connected.",
    )
    asked.add_argument("path", metavar="PATH", help="path of the realm on the server, such as /app")
    asked.add_argument(
        "--stale-after",
        metavar="TIME",
        default="14d",
        help="mark what nobody has been there for since, such as 36h (default 14d)",
    )
    asked.add_argument("--data", metavar="DIR", help=DATA_HELP)
    asked.add_argument("--json", action="store_true", help="one JSON array")
    asked.set_defaults(run=_realms_subscriptions)
    check = actions.add_parser("check", help="look for damage in a realm file", description="Exit status 1 if damaged.")
    check.add_argument("file", metavar="FILE", help="a realm file, of a client or a server")
    check.add_argument(
        "--key-file",
        metavar="KEY",
        help=f"file with the key of an encrypted realm (or set ${_KEY_VARIABLE}, in hexadecimal)",
    )
    check.add_argument("--json", action="store_true", help="print a JSON object")
    check.set_defaults(run=_realms_check)


# -- commands -----------------------------------------------------------------------------------


def _version(_: argparse.Namespace) -> int:
    print(f"hinterland {__version__}")
    return 0


def _serve(options: argparse.Namespace) -> int:
    names = ["data", "address", "port", "public_url", "workers", "tls_certificate", "tls_key", "durable", "development"]
    names += [
        "open_schemas",
        "subscriptions_max",
        "queries_bytes_max",
        "scan_objects_max",
        "allow_scans",
        "bootstraps_max",
        "view_ttl",
    ]
    config = configuration(options, *names)
    from hinterland.server import ObjectServer

    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    server = ObjectServer(config)
    server.run(on_started=lambda: print(f"Hinterland {__version__} serves {config.data} at {server.url}", flush=True))
    return 0


def _realms_list(options: argparse.Namespace) -> int:
    config = existing_configuration(options)
    from hinterland.server.inventory import list_realms

    rows = [
        {"path": one.path, "version": one.version, "clients": one.clients, "bytes": one.file_bytes, "file": one.file}
        for one in list_realms(config.data)
    ]
    print_rows(rows, ("path", "version", "clients", "bytes"), as_json=options.json)
    return 0


def _realms_check(options: argparse.Namespace) -> int:
    from hinterland.store.checking import check_file

    found = check_file(options.file, _encryption_key(options.key_file))
    if options.json:
        print(json.dumps({"file": options.file, "problems": found}))
    else:
        for line in found or [f"{options.file}: no damage found"]:
            print(line)
    return 1 if found else 0


def _realms_lock_down(options: argparse.Namespace) -> int:
    config = existing_configuration(options)
    from hinterland.server.lock_down import lock_down_realm

    version = lock_down_realm(config.data, options.path, admins=options.admin, editable=options.editable)
    if options.json:
        print(json.dumps({"path": options.path, "version": version}))
    else:
        print(f"{options.path} is locked down (version {version})")
    return 0


def _realms_subscriptions(options: argparse.Namespace) -> int:
    config = existing_configuration(options)
    from hinterland.server.config import duration_s
    from hinterland.server.layout import DataDirectory
    from hinterland.server.views.report import list_subscriptions

    file = DataDirectory(config.data).realm_file(options.path)
    if not file.exists():
        raise ConfigurationError(
            f"there is no realm {options.path!r} in {config.data}; `hinterland realms list` shows those there are"
        )
    stale_after_s = duration_s("--stale-after", options.stale_after)
    found = list_subscriptions(file, now_s=time.time(), stale_after_s=stale_after_s)
    rows = [
        {
            "class": one.class_name,
            "query": one.query,
            "filter": one.filter,
            "links": " ".join((one.links, *one.include)),
            "objects": one.objects,
            "reached": one.reached,
            "files": one.files,
            "users": one.users,
            "last_seen": datetime.fromtimestamp(one.last_seen_s, UTC).isoformat(timespec="minutes"),
            "plan": one.plan,
            "ms": None if one.evaluation_ms is None else round(one.evaluation_ms, 2),
            "stale": one.is_stale,
        }
        for one in found
    ]
    print_rows(rows, list(rows[0]) if rows else ["class"], as_json=options.json)
    return 0


def _realms_rules(options: argparse.Namespace) -> int:
    config = existing_configuration(options)
    from hinterland.server.layout import DataDirectory
    from hinterland.server.office import Office
    from hinterland.server.realm_rules import install_rules, remove_rules, rules_text

    directory = DataDirectory(config.data)
    if options.remove or options.file is not None:
        with closing(Office(config)) as office:
            if options.file is None:
                was_there = remove_rules(directory, options.path)
                done = "the rules are removed" if was_there else "there were no rules"
            else:
                install_rules(directory, options.path, options.file, is_unchecked=options.unchecked)
                done = "the rules are set"
            office.directory.changes.announce("rules", options.path)  # a running server reads them again
        print(f"{options.path}: {done}")
    else:
        text = rules_text(directory, options.path)
        if text is None:
            print(f"{options.path} has no rules", file=sys.stderr)
            return 1
        print(text, end="" if text.endswith("\n") else "\n")
    return 0


def _encryption_key(file: str | None) -> bytes | None:
    """Return the key from a file or the environment; arguments would show it to everybody on the machine."""
    if file is not None:
        where = f"--key-file: the key in {file}"
        try:
            content = Path(file).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"--key-file: {file} cannot be read: {error.strerror}") from error
    elif value := os.environ.get(_KEY_VARIABLE):
        content, where = value.encode(), f"{_KEY_VARIABLE}: the key"
    else:
        return None
    try:
        key = bytes.fromhex(content.decode("ascii"))  # 64 digits are a key of 32 bytes, not one of 64
    except ValueError:
        key = content
    check_key(key, where)
    return key


if __name__ == "__main__":
    sys.exit(main())
