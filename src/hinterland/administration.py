"""The commands that say who may do what: `users`, `permissions`, `keys`, `token`, `audit`.

They work on the data folder, whether or not a server uses it; a running server acts on what they change
within a moment. Every change is written to the audit log.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from hinterland.console import (
    add_data_option,
    configuration,
    existing_configuration,
    print_row,
    print_rows,
    read_password,
)
from hinterland.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from hinterland.server.access import Grant
    from hinterland.server.directory import User
    from hinterland.server.office import Office

__all__ = ["add_administration"]

ACTOR: Final = "command line"
USERS_PAGE: Final = 1000


def add_administration(commands: Any) -> None:
    """Add the commands."""
    _add_users(commands)
    _add_permissions(commands)
    _add_keys(commands)
    _add_token(commands)
    _add_audit(commands)


# -- what they accept ---------------------------------------------------------------------------


Run = Callable[[argparse.Namespace], int]


def _group(commands: Any, name: str, text: str) -> Any:
    """Add a command that has commands of its own, and says so when it is called without."""
    group = commands.add_parser(name, help=text)
    group.set_defaults(run=lambda _: group.print_help())
    return group.add_subparsers(metavar="ACTION")


def _add_list(actions: Any, text: str, run: Run) -> Any:
    """Add the command `list`."""
    listing = actions.add_parser("list", help=text)
    add_data_option(listing, json_help="one JSON array")
    listing.set_defaults(run=run)
    return listing


def _add_users(commands: Any) -> None:
    actions = _group(commands, "users", "look at, make and change users")
    _add_list(actions, "list all users", _users_list)
    create = actions.add_parser(
        "create",
        help="make a user with a password",
        description="Make a user with a password, which is asked for or read from standard input.",
    )
    create.add_argument("name", help="user name")
    create.add_argument("--admin", action="store_true", help="may do everything")
    add_data_option(create, json_help="print a JSON object")
    create.set_defaults(run=_users_create)
    for name, text, run in (
        ("show", "show a user with logins and grants", _users_show),
        ("suspend", "end all logins of a user and refuse new ones", _users_suspend),
        ("activate", "let a suspended user log in again", _users_activate),
        ("delete", "remove a user with accounts, logins and grants; realms stay", _users_delete),
        ("logout", "end all logins of a user", _users_logout),
        ("passwd", "change a user's password, which is asked for or read from standard input", _users_passwd),
        ("promote", "make a user an admin", _users_promote),
        ("demote", "make an admin an ordinary user", _users_demote),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("user", help="identity or user name")
        add_data_option(action, json_help="print a JSON object")
        action.set_defaults(run=run)
    roles = actions.add_parser("roles", help="show or change a user's roles")
    roles.add_argument("user", help="identity or user name")
    roles.add_argument("--add", action="append", default=[], metavar="ROLE", help="give the user a role")
    roles.add_argument("--remove", action="append", default=[], metavar="ROLE", help="take a role from the user")
    add_data_option(roles, json_help="print a JSON object")
    roles.set_defaults(run=_users_roles)
    metadata = actions.add_parser(
        "metadata",
        help="show or change a user's metadata",
        description="Print a user's metadata, or change them. Rules of realms read them as $user.custom.NAME;"
        ' a text that is a JSON list, such as \'["A", "B"]\', counts there as a list.',
    )
    metadata.add_argument("user", help="identity or user name")
    metadata.add_argument("--set", action="append", default=[], metavar="NAME=TEXT", help="give it a value")
    metadata.add_argument("--remove", action="append", default=[], metavar="NAME", help="remove one")
    add_data_option(metadata, json_help="print a JSON object")
    metadata.set_defaults(run=_users_metadata)


def _add_permissions(commands: Any) -> None:
    actions = _group(commands, "permissions", "say who may open which realm")
    _add_list(actions, "list all grants", _permissions_list)
    grant = actions.add_parser("set", help="grant a level on a realm, or on all below a path")
    grant.add_argument("path", help="a realm's path, or all below one: '/shared/*'")
    grant.add_argument("level", choices=("none", "read", "write", "admin"))
    _add_grantee(grant)
    grant.set_defaults(run=_permissions_set)
    remove = actions.add_parser("remove", help="remove a grant, so that less specific ones count again")
    remove.add_argument("path", help="as in the list")
    _add_grantee(remove)
    remove.set_defaults(run=_permissions_remove)
    schema = actions.add_parser("schema", help="say whether writers of a realm may bring classes and properties")
    schema.add_argument("path", help="a realm's path")
    schema.add_argument("can_modify", choices=("open", "closed"))
    add_data_option(schema, json_help="print a JSON object")
    schema.set_defaults(run=_permissions_schema)


def _add_grantee(parser: Any) -> None:
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", help="identity or user name")
    who.add_argument("--role", help="name of a role")
    who.add_argument("--everyone", action="store_true", help="everyone who is logged in")
    add_data_option(parser, json_help="print a JSON object")


def _add_keys(commands: Any) -> None:
    actions = _group(commands, "keys", "look at and rotate the keys that sign tokens")
    _add_list(actions, "list all keys", _keys_list)
    rotate = actions.add_parser(
        "rotate",
        help="sign with a new key from now on",
        description="Sign with a new key from now on. What older keys signed stays valid for as long as a login lasts.",
    )
    rotate.add_argument(
        "--drop-old", action="store_true", help="refuse what older keys signed at once: everybody has to log in again"
    )
    add_data_option(rotate, json_help="print a JSON object")
    rotate.set_defaults(run=_keys_rotate)


def _add_token(commands: Any) -> None:
    token = commands.add_parser("token", help="print an access token for tools")
    add_data_option(token)
    who = token.add_mutually_exclusive_group(required=True)
    who.add_argument("--admin", action="store_true", help="for an admin, who may open every realm")
    who.add_argument("--user", metavar="IDENTITY", help="for this user")
    token.add_argument("--ttl", type=int, default=365 * 86_400, metavar="SECONDS", help="validity (default one year)")
    token.set_defaults(run=_token)


def _add_audit(commands: Any) -> None:
    actions = _group(commands, "audit", "look at what administrators did")
    listing = _add_list(actions, "list acts, newest first", _audit_list)
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="how many (default 100)")
    listing.add_argument("--actor", help="only what this identity did")
    listing.add_argument("--subject", help="only what was done to this user, path or key")
    trim = actions.add_parser("trim", help="forget old acts; without this command they are kept for ever")
    trim.add_argument("days", type=int, help="how many days to keep")
    add_data_option(trim, json_help="print a JSON object")
    trim.set_defaults(run=_audit_trim)


# -- users --------------------------------------------------------------------------------------


@contextmanager
def _office(options: argparse.Namespace, *, may_create: bool = False) -> Iterator[Office]:
    """Open the data folder."""
    config = configuration(options, "data") if may_create else existing_configuration(options)
    from hinterland.server.office import Office

    office = Office(config)
    try:
        yield office
    finally:
        office.close()


def _record(office: Office, action: str, subject: str, **details: object) -> None:
    office.directory.audit.add(ACTOR, action, subject, details, now_s=int(time.time()))


def _find(office: Office, name: str) -> User:
    """Return the user of an identity, or of the only account of a name."""
    users = office.directory.users
    user = users.get(name)
    if user is None:
        account = users.account("password", name)
        user = None if account is None else users.get(account.user)
    if user is None:
        raise UsageError(f"there is no user {name!r}; `hinterland users list` shows all")
    return user


def _users(office: Office) -> Iterator[User]:
    last: str | None = None
    while page := office.directory.users.page(after=last, limit=USERS_PAGE):
        yield from page
        last = page[-1].identity


def _user_row(user: User) -> dict[str, object]:
    return {
        "identity": user.identity,
        "admin": user.is_admin,
        "status": user.status.value,
        "accounts": [f"{provider}:{name}" for provider, name in user.accounts],
        "roles": sorted(user.roles),
    }


def _users_list(options: argparse.Namespace) -> int:
    with _office(options) as office:
        rows = [_user_row(user) for user in _users(office)]
    print_rows(rows, ("identity", "admin", "status", "accounts", "roles"), as_json=options.json)
    return 0


def _users_create(options: argparse.Namespace) -> int:
    password = read_password()
    with _office(options, may_create=True) as office:
        user = asyncio.run(_create(options, office, password))
        _record(office, "user.create", user.identity, admin=options.admin)
    row = {"identity": user.identity, "name": options.name, "admin": options.admin}
    print_row(row, user.identity, as_json=options.json)
    return 0


async def _create(options: argparse.Namespace, office: Office, password: str) -> User:
    from hinterland.server.logins import Logins

    logins = Logins(configuration(options, "data"), office.directory, office.issuer)
    try:
        return await logins.passwords.add(options.name, password, is_admin=options.admin, is_confirmed=True)
    finally:
        await logins.close()


def _users_show(options: argparse.Namespace) -> int:
    from hinterland.server.access import GranteeKind

    with _office(options) as office:
        user = _find(office, options.user)
        logins = office.directory.logins.of_user(user.identity)
        grants = office.directory.permissions.of(GranteeKind.USER, user.identity)
    row = {
        **_user_row(user),
        "metadata": dict(user.metadata),
        "created": user.created_s,
        "logins": [
            {"id": one.id, "created": one.created_s, "expires": one.expires_s, "app": one.app, "device": one.device}
            for one in logins
        ],
        "grants": [_grant_row(grant) for grant in grants],
    }
    lines = [
        f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in row.items()
    ]
    print_row(row, "\n".join(lines), as_json=options.json)
    return 0


def _change_user(
    options: argparse.Namespace, action: str, change: Callable[[Office, str], object], **details: object
) -> int:
    """Change a user, record it, and print how things stand."""
    with _office(options) as office:
        user = _find(office, options.user)
        change(office, user.identity)
        _record(office, action, user.identity, **details)
        after = office.directory.users.get(user.identity)
    row: Mapping[str, object] = {"identity": user.identity, "deleted": True} if after is None else _user_row(after)
    print_row(row, user.identity, as_json=options.json)
    return 0


def _users_suspend(options: argparse.Namespace) -> int:
    from hinterland.server.directory import UserStatus

    def suspend(office: Office, identity: str) -> None:
        office.directory.users.set_status(identity, UserStatus.SUSPENDED)

    return _change_user(options, "user.change", suspend, status="suspended")


def _users_activate(options: argparse.Namespace) -> int:
    from hinterland.server.directory import UserStatus

    def activate(office: Office, identity: str) -> None:
        office.directory.users.set_status(identity, UserStatus.ACTIVE)

    return _change_user(options, "user.change", activate, status="active")


def _users_delete(options: argparse.Namespace) -> int:
    def delete(office: Office, identity: str) -> None:
        office.directory.users.remove(identity, now_s=int(time.time()))

    return _change_user(options, "user.remove", delete)


def _users_logout(options: argparse.Namespace) -> int:
    return _change_user(options, "user.log_out", lambda office, identity: office.directory.logins.end_all(identity))


def _users_promote(options: argparse.Namespace) -> int:
    def promote(office: Office, identity: str) -> None:
        office.directory.users.set_admin(identity, is_admin=True)

    return _change_user(options, "user.change", promote, admin=True)


def _users_demote(options: argparse.Namespace) -> int:
    def demote(office: Office, identity: str) -> None:
        office.directory.users.set_admin(identity, is_admin=False)

    return _change_user(options, "user.change", demote, admin=False)


def _users_passwd(options: argparse.Namespace) -> int:
    password = read_password()

    async def change_async(office: Office, identity: str) -> None:
        from hinterland.server.logins import Logins

        logins = Logins(configuration(options, "data"), office.directory, office.issuer)
        try:
            await logins.passwords.change(identity, password)
        finally:
            await logins.close()

    def change(office: Office, identity: str) -> None:
        asyncio.run(change_async(office, identity))

    return _change_user(options, "password.change", change)


def _users_roles(options: argparse.Namespace) -> int:
    with _office(options) as office:
        user = _find(office, options.user)
        if options.add or options.remove:
            roles = sorted((user.roles | set(options.add)) - set(options.remove))
            if not all(0 < len(role) <= 128 for role in roles):
                raise UsageError("a role's name has 1 to 128 characters")
            user = office.directory.users.set_roles(user.identity, roles)
            _record(office, "user.change", user.identity, roles=roles)
    print_row(_user_row(user), "\n".join(sorted(user.roles)), as_json=options.json)
    return 0


def _users_metadata(options: argparse.Namespace) -> int:
    changes: dict[str, str | None] = dict.fromkeys(options.remove)
    for one in options.set:
        name, is_there, text = one.partition("=")
        if not is_there:
            raise UsageError(f"--set {one!r} is not NAME=TEXT")
        changes[name] = text
    if not all(0 < len(name) <= 64 and len(text or "") <= 1024 for name, text in changes.items()):
        raise UsageError("metadata have a name of 1 to 64 and a text of up to 1024 characters")
    with _office(options) as office:
        user = _find(office, options.user)
        if changes:
            user = office.directory.users.set_metadata(user.identity, changes)
            _record(office, "user.change", user.identity, metadata=sorted(changes))
    if options.json:
        print(json.dumps({"identity": user.identity, "metadata": dict(user.metadata)}))
    else:
        for name, text in sorted(user.metadata.items()):
            print(f"{name}={text}")
    return 0


# -- permissions --------------------------------------------------------------------------------


def _grant_row(grant: Grant) -> dict[str, object]:
    return {"path": grant.path, "kind": grant.kind.value, "grantee": grant.grantee, "level": grant.level.label}


def _permissions_list(options: argparse.Namespace) -> int:
    rows = []
    with _office(options) as office:
        last = None
        while page := office.directory.permissions.page(after=last, limit=USERS_PAGE):
            rows += [_grant_row(grant) for grant in page]
            last = page[-1]
    print_rows(rows, ("path", "kind", "grantee", "level"), as_json=options.json)
    return 0


def _grantee(office: Office, options: argparse.Namespace) -> dict[str, Any]:
    """Return the grantee as `PathPermissions.apply` takes it."""
    if options.user is not None:
        return {"user": _find(office, options.user).identity}
    return {"role": options.role} if options.role is not None else {"everyone": True}


def _permissions_set(options: argparse.Namespace) -> int:
    with _office(options) as office:
        from hinterland.server.access import AccessLevel
        from hinterland.server.issuer import OPERATOR
        from hinterland.server.permissions import PathPermissions

        permissions = PathPermissions(office.directory)
        level = AccessLevel.parse(options.level)
        (grant,) = permissions.apply(OPERATOR, options.path, level, **_grantee(office, options))
        row = _grant_row(grant)
        _record(office, "permission.apply", grant.path, **row)
    print_row(row, f"{grant.path}: {grant.kind.value} {grant.grantee} may {grant.level.label}", as_json=options.json)
    return 0


def _permissions_remove(options: argparse.Namespace) -> int:
    with _office(options) as office:
        from hinterland.server.access import EVERYONE, GranteeKind
        from hinterland.server.issuer import OPERATOR
        from hinterland.server.permissions import PathPermissions

        ((kind, grantee),) = _grantee(office, options).items()
        who = EVERYONE if kind == "everyone" else grantee
        if not PathPermissions(office.directory).remove(OPERATOR, options.path, GranteeKind(kind), who):
            raise UsageError(f"there is no such grant on {options.path!r}; `hinterland permissions list` shows all")
        _record(office, "permission.remove", options.path, kind=kind, grantee=who)
    row = {"path": options.path, "kind": kind, "grantee": who, "level": None}
    print_row(row, f"{options.path}: {kind} {who} has no grant any more", as_json=options.json)
    return 0


def _permissions_schema(options: argparse.Namespace) -> int:
    with _office(options) as office:
        from hinterland.server.issuer import OPERATOR
        from hinterland.server.permissions import PathPermissions

        is_open = options.can_modify == "open"
        realm = PathPermissions(office.directory).set_schema_switch(OPERATOR, options.path, can_modify_schema=is_open)
        _record(office, "realm.change", realm.path, can_modify_schema=is_open)
    row = {"path": realm.path, "can_modify_schema": is_open}
    print_row(row, f"{realm.path}: the schema is {options.can_modify}", as_json=options.json)
    return 0


# -- keys and tokens ----------------------------------------------------------------------------


def _keys_list(options: argparse.Namespace) -> int:
    with _office(options) as office:
        keys = office.keys
        rows = [
            {
                "kid": key.kid,
                "algorithm": key.algorithm,
                "created": key.created_s,
                "retired": key.retired_s,
                "state": "signs" if key == keys.current else "accepted" if keys.is_accepted(key.kid) else "refused",
            }
            for key in keys.all
        ]
    print_rows(rows, ("kid", "algorithm", "created", "retired", "state"), as_json=options.json)
    return 0


def _keys_rotate(options: argparse.Namespace) -> int:
    with _office(options) as office:
        key = office.keys.rotate(drops_old=options.drop_old)
        office.directory.changes.announce("keys", "")  # a running server reads them again
        _record(office, "keys.rotate", key.kid, drop_old=options.drop_old)
    print_row({"kid": key.kid, "dropped_old": options.drop_old}, key.kid, as_json=options.json)
    return 0


def _token(options: argparse.Namespace) -> int:
    if options.ttl <= 0:
        raise ConfigurationError(f"--ttl must be positive, not {options.ttl}")
    with _office(options, may_create=True) as office:
        from hinterland.server.issuer import ADMIN_IDENTITY

        user = ADMIN_IDENTITY if options.admin else options.user
        token = office.tokens.issue("access", user, ttl_s=options.ttl, is_admin=options.admin)
        _record(office, "token.issue", user, expires=token.principal.expires_s)
    print(token.text)
    return 0


# -- audit log ----------------------------------------------------------------------------------


def _audit_list(options: argparse.Namespace) -> int:
    with _office(options) as office:
        page = office.directory.audit.page(limit=options.limit, actor=options.actor, subject=options.subject)
    rows = [
        {
            "at": datetime.fromtimestamp(entry.at_s, UTC).isoformat(),
            "actor": entry.actor,
            "action": entry.action,
            "subject": entry.subject,
            "details": dict(entry.details),
        }
        for entry in page
    ]
    print_rows(rows, ("at", "actor", "action", "subject"), as_json=options.json)
    return 0


def _audit_trim(options: argparse.Namespace) -> int:
    if options.days < 0:
        raise ConfigurationError(f"days must not be negative, not {options.days}")
    with _office(options) as office:
        count = office.directory.audit.trim(before_s=int(time.time()) - options.days * 86_400)
        _record(office, "audit.trim", "", days=options.days, forgotten=count)
    print_row({"forgotten": count}, f"{count} acts were forgotten", as_json=options.json)
    return 0
