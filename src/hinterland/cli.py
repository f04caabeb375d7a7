"""The command line: `hinterland serve`, `hinterland token` and what an operator needs beside them.

Only `hinterland version` and `hinterland realms check` work without the `server` extra; the rest says what to install.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hinterland._version import __version__
from hinterland.demo import add_demo_options, run_demo
from hinterland.errors import ConfigurationError, HinterlandError
from hinterland.store.connection import check_key

if TYPE_CHECKING:
    from hinterland.server import Config

__all__ = ["main"]

_DATA_HELP: Final = "data directory (default: $HINTERLAND_DATA or ./hinterland-data)"
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
    _add_token(commands)
    _add_realms(commands)
    _add_users(commands)
    demo = commands.add_parser("demo", help="watch three offline apps edit one realm and come out equal")
    add_demo_options(demo)
    demo.set_defaults(run=run_demo)
    commands.add_parser("version", help="print the version").set_defaults(run=_version)
    return parser


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser("serve", help="run the server", description="Run the server until Ctrl-C.")
    serve.add_argument("--data", metavar="DIR", help=_DATA_HELP)
    serve.add_argument("--address", help="where to listen (default 127.0.0.1; 0.0.0.0 for all interfaces)")
    serve.add_argument("--port", type=int, help="port (default 9080; 0 chooses a free one)")
    serve.add_argument("--public-url", metavar="URL", help="how clients reach the server, if behind a proxy")
    serve.add_argument("--workers", type=int, metavar="N", help="threads that read and write realms (default: by CPUs)")
    serve.add_argument("--tls-certificate", metavar="FILE", help="PEM certificate; with --tls-key enables TLS")
    serve.add_argument("--tls-key", metavar="FILE", help="PEM key")
    serve.add_argument(
        "--no-durable", dest="durable", action="store_false", default=None, help="do not fsync at each commit"
    )
    serve.add_argument("--no-anonymous", action="store_true", help="do not let anonymous users log in")
    serve.add_argument("--verbose", action="store_true", help="log more")
    serve.set_defaults(run=_serve)


def _add_token(commands: Any) -> None:
    token = commands.add_parser("token", help="print an access token for tools")
    token.add_argument("--data", metavar="DIR", help=_DATA_HELP)
    who = token.add_mutually_exclusive_group(required=True)
    who.add_argument("--admin", action="store_true", help="for an admin, who may open every realm")
    who.add_argument("--user", metavar="IDENTITY", help="for this user")
    token.add_argument("--ttl", type=int, default=365 * 86_400, metavar="SECONDS", help="validity (default one year)")
    token.set_defaults(run=_token)


def _add_realms(commands: Any) -> None:
    realms = commands.add_parser("realms", help="look at realms")
    realms.set_defaults(run=lambda _: realms.print_help())
    actions = realms.add_subparsers(metavar="ACTION")
    listing = actions.add_parser("list", help="list all realms")
    listing.add_argument("--data", metavar="DIR", help=_DATA_HELP)
    listing.add_argument("--json", action="store_true", help="one JSON array")
    listing.set_defaults(run=_realms_list)
    locking = actions.add_parser(
        "lock-down",
        help="let everyone but admins only read a query-based realm",
        description="Make a query-based realm safe: everyone may read and query, the role 'admins' may do everything."
        " No server may run on the data directory.",
    )
    locking.add_argument("path", metavar="PATH", help="path of the realm on the server, such as /app")
    locking.add_argument("--admin", action="append", default=[], metavar="IDENTITY", help="user to make an admin of it")
    locking.add_argument(
        "--editable", action="append", default=[], metavar="CLASS", help="class in which everyone may still write"
    )
    locking.add_argument("--data", metavar="DIR", help=_DATA_HELP)
    locking.add_argument("--json", action="store_true", help="print a JSON object")
    locking.set_defaults(run=_realms_lock_down)
    rules = actions.add_parser(
        "rules",
        help="show or set the rules of a query-based realm",
        description="Print the rules of a realm, or set them: a document in TOML or JSON, checked against its classes."
        " A running server reads them when it next starts.",
    )
    rules.add_argument("path", metavar="PATH", help="path of the realm on the server, such as /app")
    rules.add_argument("--set", metavar="FILE", dest="file", help="make this document the rules")
    rules.add_argument("--unchecked", action="store_true", help="take rules that do not fit the classes as they are")
    rules.add_argument("--remove", action="store_true", help="remove the rules")
    rules.add_argument("--data", metavar="DIR", help=_DATA_HELP)
    rules.set_defaults(run=_realms_rules)
    check = actions.add_parser("check", help="look for damage in a realm file", description="Exit status 1 if damaged.")
    check.add_argument("file", metavar="FILE", help="a realm file, of a client or a server")
    check.add_argument(
        "--key-file",
        metavar="KEY",
        help=f"file with the key of an encrypted realm (or set ${_KEY_VARIABLE}, in hexadecimal)",
    )
    check.add_argument("--json", action="store_true", help="print a JSON object")
    check.set_defaults(run=_realms_check)


def _add_users(commands: Any) -> None:
    users = commands.add_parser("users", help="look at and make users")
    users.set_defaults(run=lambda _: users.print_help())
    actions = users.add_subparsers(metavar="ACTION")
    listing = actions.add_parser("list", help="list all users")
    listing.add_argument("--data", metavar="DIR", help=_DATA_HELP)
    listing.add_argument("--json", action="store_true", help="one JSON array")
    listing.set_defaults(run=_users_list)
    create = actions.add_parser(
        "create",
        help="make a user with a password",
        description="Make a user with a password, which is asked for or read from standard input.",
    )
    create.add_argument("name", help="user name")
    create.add_argument("--admin", action="store_true", help="may open every realm")
    create.add_argument("--data", metavar="DIR", help=_DATA_HELP)
    create.add_argument("--json", action="store_true", help="print a JSON object")
    create.set_defaults(run=_users_create)


# -- commands -----------------------------------------------------------------------------------


def _version(_: argparse.Namespace) -> int:
    print(f"hinterland {__version__}")
    return 0


def _config(options: argparse.Namespace, *names: str) -> Config:
    """Make the configuration from options and environment."""
    _need_server()
    from hinterland.server import Config

    return Config.from_environment(os.environ, **{name: getattr(options, name) for name in names})


def _existing(options: argparse.Namespace) -> Config:
    """Make the configuration of a command that only looks, which must not make a data directory."""
    config = _config(options, "data")
    if not Path(config.data).exists():
        raise ConfigurationError(f"there is no data directory {config.data}; name it with --data or HINTERLAND_DATA")
    return config


def _need_server() -> None:
    try:
        import argon2  # noqa: F401
        import jwt  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"this command needs the server extra: pip install 'hinterland[server]' ({error})"
        ) from error


def _serve(options: argparse.Namespace) -> int:
    names = ["data", "address", "port", "public_url", "workers", "tls_certificate", "tls_key", "durable"]
    config = _config(options, *names)
    from dataclasses import replace

    from hinterland.server import ObjectServer, providers

    if options.no_anonymous:
        config = replace(config, auth=[one for one in config.auth if not isinstance(one, providers.Anonymous)])
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    server = ObjectServer(config)
    server.run(on_started=lambda: print(f"Hinterland {__version__} serves {config.data} at {server.url}", flush=True))
    return 0


def _token(options: argparse.Namespace) -> int:
    config = _config(options, "data")
    from hinterland.server.layout import DataDirectory
    from hinterland.server.logins import ADMIN_IDENTITY
    from hinterland.server.tokens import Tokens

    if options.ttl <= 0:
        raise ConfigurationError(f"--ttl must be positive, not {options.ttl}")
    tokens = Tokens(DataDirectory(config.data).signing_key())
    user = ADMIN_IDENTITY if options.admin else options.user
    print(tokens.issue("access", user, ttl_s=options.ttl, is_admin=options.admin).text)
    return 0


def _realms_list(options: argparse.Namespace) -> int:
    config = _existing(options)
    from hinterland.server.inventory import list_realms

    rows = [
        {"path": one.path, "version": one.version, "clients": one.clients, "bytes": one.file_bytes, "file": one.file}
        for one in list_realms(config.data)
    ]
    _print_rows(rows, ("path", "version", "clients", "bytes"), as_json=options.json)
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
    config = _existing(options)
    from hinterland.server.lock_down import lock_down_realm

    version = lock_down_realm(config.data, options.path, admins=options.admin, editable=options.editable)
    if options.json:
        print(json.dumps({"path": options.path, "version": version}))
    else:
        print(f"{options.path} is locked down (version {version})")
    return 0


def _realms_rules(options: argparse.Namespace) -> int:
    config = _existing(options)
    from hinterland.server.layout import DataDirectory
    from hinterland.server.realm_rules import install_rules, remove_rules, rules_text

    directory = DataDirectory(config.data)
    if options.remove:
        was_there = remove_rules(directory, options.path)
        print(f"{options.path}: {'the rules are removed' if was_there else 'there were no rules'}")
    elif options.file is not None:
        install_rules(directory, options.path, options.file, is_unchecked=options.unchecked)
        print(f"{options.path}: the rules are set")
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


def _users_list(options: argparse.Namespace) -> int:
    config = _existing(options)
    from hinterland.server.layout import DataDirectory
    from hinterland.server.users import Users

    users = Users(DataDirectory(config.data).users_file)
    try:
        rows: list[dict[str, object]] = [
            {
                "identity": user.identity,
                "admin": user.is_admin,
                "disabled": user.is_disabled,
                "accounts": [f"{provider}:{name}" for provider, name in user.accounts],
            }
            for user in users.all()
        ]
    finally:
        users.close()
    _print_rows(rows, ("identity", "admin", "accounts"), as_json=options.json)
    return 0


def _users_create(options: argparse.Namespace) -> int:
    config = _config(options, "data")
    from hinterland.server.layout import DataDirectory
    from hinterland.server.logins import Logins
    from hinterland.server.tokens import Tokens
    from hinterland.server.users import Users

    data = DataDirectory(config.data)
    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    users = Users(data.users_file)
    try:
        logins = Logins(config, users, Tokens(data.signing_key()))
        identity = asyncio.run(logins.register(options.name, password, is_admin=options.admin))
    finally:
        users.close()
    row = {"identity": identity, "name": options.name, "admin": options.admin}
    print(json.dumps(row) if options.json else identity)
    return 0


def _print_rows(rows: Sequence[dict[str, object]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print a table for people, or JSON for programs."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = [list(columns)] + [[_cell(row[name]) for name in columns] for row in rows]
    widths = [max(len(line[n]) for line in table) for n in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    sys.exit(main())
