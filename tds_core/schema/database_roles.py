"""Database roles: an owner that migrates, an application that cannot change history, a reader for the ERP's programs.

Rights are read from the catalog and only those that differ are granted or revoked, so every call may repeat. History is
every table whose trigger is `tds_refuse_change`. Roles belong to the whole PostgreSQL server, rights to one database.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog
from psycopg2.extensions import encrypt_password, parse_dsn
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from tds_core.database_urls import without_driver
from tds_core.errors import ConfigError
from tds_models.db import Lock

log = structlog.get_logger(__name__)

INSUFFICIENT_PRIVILEGE = "42501"
OWNER, APP, READER = "tds_owner", "tds_app", "tds_reader"
#: What the reader sees beside the mirror: how fresh, how complete and how equal it is. No token, session, key or body.
READABLE = (
    "alembic_version", "tds_alerts", "tds_audit_trail", "tds_comparison_reports", "tds_comparisons", "tds_findings",
    "tds_statements", "tds_statistics_history", "tds_sync_cursors", "tds_sync_runs", "tds_uptime_samples",
    "tds_v_active_queue", "tds_v_recent_sync_performance", "tds_v_unresolved_dlq", "tds_validation_reports",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleLogins:
    """How the roles log in: by the application's address; the reader not at all where `reader_password` is empty."""

    app_url: str
    reader_password: str = ""

    @property
    def app_user(self) -> str:
        """The role the application's address names."""
        return _user_of(self.app_url)

    @property
    def app_password(self) -> str:
        """The password in the application's address; empty where there is none."""
        return str(parse_dsn(without_driver(self.app_url)).get("password", ""))


def logins_of(app_url: str, migration_url: str, reader_password: str) -> RoleLogins | None:
    """How the roles log in, by the settings; None where the application is to have the rights of who migrates."""
    if not app_url or not migration_url:
        return None
    logins = RoleLogins(app_url=app_url, reader_password=reader_password)
    return None if logins.app_user == _user_of(migration_url) else logins


def _user_of(url: str) -> str:
    return str(parse_dsn(without_driver(url)).get("user", ""))


_ROLE = text("select rolsuper, rolcanlogin, rolcreaterole from pg_roles where rolname = :name")
_ME = text("select current_user as name, rolsuper, rolcreaterole from pg_roles where rolname = current_user")
_IS_MEMBER = text("select pg_has_role(cast(:member as name), cast(:role as name), 'MEMBER')")
_OWNERS = text("""
select pg_get_userbyid(d.datdba) as database_owner, d.datname as database,
       (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = to_regclass('public.alembic_version')) as owner
from pg_database d where d.datname = current_database()
""")
_IS_OPEN = text("select has_schema_privilege('public', 'public', 'create')")
# Sequences of columns follow their tables.
_FOREIGN_OBJECTS = text("""
select format('alter schema %I owner to tds_owner', n.nspname) from pg_namespace n
where n.nspname in ('erp', 'tds_set_aside') and pg_get_userbyid(n.nspowner) <> 'tds_owner'
union all
select format('alter %s %I.%I owner to tds_owner',
              case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end, n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'S') and pg_get_userbyid(c.relowner) <> 'tds_owner'
  and (n.nspname in ('erp', 'tds_set_aside')
       or n.nspname = 'public' and (c.relname like 'tds\\_%' or c.relname = 'alembic_version'))
  and not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass
                  and c.relkind = 'S' and d.deptype in ('a', 'i') and d.refobjsubid > 0)
union all
select format('alter function %s owner to tds_owner', p.oid::regprocedure)
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname = 'public' and p.proname like 'tds\\_%' and pg_get_userbyid(p.proowner) <> 'tds_owner'
""")
# What each role should have of each object, against what it has. Rights of others over history end as well.
_DIFFERING_RIGHTS = text("""
with history as (
    select distinct t.tgrelid as id from pg_trigger t join pg_proc p on p.oid = t.tgfoid
    where p.proname = 'tds_refuse_change'
), object as (
    select c.oid as id, c.relacl as acl, c.relowner as owner, n.nspname as schema, c.relname as name, c.relkind as kind,
           case when c.relkind = 'S' then 'sequence' else 'table' end as type, h.id is not null as is_history
    from pg_class c join pg_namespace n on n.oid = c.relnamespace left join history h on h.id = c.oid
    where n.nspname in ('public', 'erp') and c.relkind in ('r', 'p', 'v', 'S')
      and (n.nspname = 'erp' or c.relname like 'tds\\_%' or c.relname = 'alembic_version')
), wanted as (
    select id, 'tds_app' as role, unnest(case when kind = 'S' then array['USAGE', 'SELECT']
        when kind = 'v' or name = 'alembic_version' then array['SELECT']
        when is_history then array['SELECT', 'INSERT']
        else array['SELECT', 'INSERT', 'UPDATE', 'DELETE'] end) as privilege from object
    union all
    select id, 'tds_reader', 'SELECT' from object
    where kind <> 'S' and (schema = 'erp' or name = any(:readable))
), held as (
    select o.id, coalesce(r.rolname, 'public') as role, a.privilege_type as privilege from object o
    cross join lateral aclexplode(o.acl) a left join pg_roles r on r.oid = a.grantee
    where a.grantee <> o.owner and (r.rolname in ('tds_app', 'tds_reader')
       or o.is_history and a.privilege_type not in ('SELECT', 'INSERT', 'REFERENCES'))
), differing as (
    select 'grant' as verb, 'to' as preposition, w.* from (select * from wanted except select * from held) w
    union all
    select 'revoke', 'from', h.* from (select * from held except select * from wanted) h
)
select format('%s %s on %s %I.%I %s %s', verb, string_agg(privilege, ', ' order by privilege), type, schema, name,
              preposition, case role when 'public' then 'public' else quote_ident(role) end)
from differing join object using (id) group by verb, preposition, type, schema, name, role order by schema, name, role
""")
#: What the owner's functions do for the application; databases of earlier revisions lack them.
_LATER_FUNCTIONS = (
    "tds_erase_history(text, text, bigint[], text[])", "tds_add_partition(text, timestamptz, timestamptz)",
    "tds_drop_partition(text)", "tds_analyze_partitions(text)",
)  # fmt: skip
_SCHEMA_RIGHTS = (
    "grant usage on schema public, erp to tds_app, tds_reader",
    "grant execute on function tds_retire_history(text, bigint), tds_freeze_history() to tds_app",
    # For tables of later migrations; what of it is too much for history is revoked when the migration ends.
    "alter default privileges for role tds_owner in schema public grant select, insert, update, delete on tables"
    " to tds_app",
    "alter default privileges for role tds_owner in schema erp grant select, insert, update, delete on tables"
    " to tds_app",
    "alter default privileges for role tds_owner in schema public grant usage, select on sequences to tds_app",
    "alter default privileges for role tds_owner in schema erp grant usage, select on sequences to tds_app",
    "alter default privileges for role tds_owner in schema erp grant select on tables to tds_reader",
)


def set_up(connection: Connection, logins: RoleLogins) -> list[str]:
    """Make the three roles, give the database and what TDS has in it to the owner. Returns the statements that ran.

    Grants nothing yet: `grant` does, once there are tables. Passwords are sent as SCRAM verifiers and returned as ***.
    Raises ConfigError where the role of `connection` may not do this, or the application's role would be too mighty.
    """
    connection.execute(Lock.MIGRATION.until_commit())
    _check_app(connection, logins)
    try:
        return _set_up(connection, logins)
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) != INSUFFICIENT_PRIVILEGE:
            raise
        raise ConfigError(
            f"The user of TDS_MIGRATION_DATABASE_URL may not do this: {str(error.orig).strip().splitlines()[0]}."
            " Let a superuser run it once: tds database roles"
        ) from None


def _set_up(connection: Connection, logins: RoleLogins) -> list[str]:
    me = connection.execute(_ME).one()
    done = [*_make_roles(connection, logins, may_create=me.rolsuper or me.rolcreaterole)]
    if me.name != OWNER and not me.rolsuper and not _is_member(connection, me.name, OWNER):
        done += _run(connection, f'grant {OWNER} to "{me.name}"')
    owners = connection.execute(_OWNERS).one()
    if owners.database_owner != OWNER:
        done += _run(connection, f"alter database {_quoted(owners.database)} owner to {OWNER}")
    if connection.execute(_IS_OPEN).scalar_one():  # as before PostgreSQL 15, and still on a server upgraded from there
        done += _run(connection, "revoke create on schema public from public")
    for statement in connection.execute(_FOREIGN_OBJECTS).scalars().all():
        done += _run(connection, statement)
    return done


def act_as_owner(connection: Connection) -> str:
    """Take the role that owns the tables, or an empty database, until the transaction ends. Returns the acting role.

    So what a superuser or a member of the owner migrates belongs to the owner. Another role stays what it is.
    """
    owners = connection.execute(_OWNERS).one()
    owner = owners.owner or owners.database_owner
    acting = str(connection.execute(text("select current_user")).scalar_one())
    if owner in (acting, None) or owner != OWNER or not _is_member(connection, acting, owner):
        return acting
    connection.execute(text(f"set local role {OWNER}"))
    return OWNER


def grant(connection: Connection) -> list[str]:
    """Give application and reader exactly their rights, if the owner is acting. Returns the statements that ran."""
    is_owner = connection.execute(text("select current_user = :owner"), {"owner": OWNER}).scalar_one()
    if not is_owner or not all(_exists(connection, role) for role in (APP, READER)):
        return []
    _grant_on_schemas(connection)
    statements = connection.execute(_DIFFERING_RIGHTS, {"readable": list(READABLE)}).scalars().all()
    done = [each for statement in statements for each in _run(connection, statement)]
    if done:
        log.info("database_rights_changed", statement_count=len(done))
    return done


def _grant_on_schemas(connection: Connection) -> None:
    if connection.execute(text("select to_regprocedure('public.tds_freeze_history()') is null")).scalar_one():
        return  # an earlier revision, whose application needs the owner's rights
    for statement in _SCHEMA_RIGHTS:
        connection.execute(text(statement))
    for function in _LATER_FUNCTIONS:
        if connection.execute(text(f"select to_regprocedure('public.{function}') is not null")).scalar_one():
            connection.execute(text(f"grant execute on function {function} to tds_app"))


def _check_app(connection: Connection, logins: RoleLogins) -> None:
    user = logins.app_user
    if user == OWNER:
        raise ConfigError(
            f"TDS_DATABASE_URL names {OWNER}, which owns history. Name {APP} there; {OWNER} is for"
            " TDS_MIGRATION_DATABASE_URL alone."
        )
    found = connection.execute(_ROLE, {"name": user}).one_or_none()
    if found is not None and found.rolsuper:
        raise ConfigError(f"TDS_DATABASE_URL names {user}, a superuser, whom nothing can be refused. Name {APP} there.")
    if user != APP and not (found and _exists(connection, APP) and _is_member(connection, user, APP)):
        raise ConfigError(
            f"TDS_DATABASE_URL names {user or 'no user'}. Name {APP} there, or first a role of yours that has its"
            f" rights: grant {APP} to {_quoted(user) if user else '...'}"
        )


def _make_roles(connection: Connection, logins: RoleLogins, *, may_create: bool) -> Iterator[str]:
    plain = "nosuperuser nocreatedb nocreaterole noreplication nobypassrls"
    passwords = {
        OWNER: "", APP: logins.app_password if logins.app_user == APP else "", READER: logins.reader_password,
    }  # fmt: skip
    missing = [role for role in passwords if not _exists(connection, role)]
    if missing and not may_create:
        names = " ".join(f"create role {role} {'nologin' if role == OWNER else 'login'};" for role in missing)
        raise ConfigError(
            f"The user of TDS_MIGRATION_DATABASE_URL may not create roles. Let one who may do it once: {names}"
        )
    for role in missing:
        yield from _run(connection, f"create role {role} {plain}{' login' if role == APP else ''}")
    for role, password in passwords.items():
        if password and may_create:
            yield from _set_password(connection, role, password)
    if READER in missing:
        # Whom it forgets holds no lock for longer than a minute, and it writes nothing by mistake.
        yield from _run(connection, f"alter role {READER} set idle_in_transaction_session_timeout = '60s'")
        yield from _run(connection, f"alter role {READER} set default_transaction_read_only = on")


def _set_password(connection: Connection, role: str, password: str) -> Sequence[str]:
    raw = connection.connection.driver_connection
    verifier = encrypt_password(password, role, raw, "scram-sha-256")
    connection.exec_driver_sql(f"alter role {role} login password %s", (verifier,))
    return [f"alter role {role} login password '***'"]


def _run(connection: Connection, statement: str) -> list[str]:
    connection.exec_driver_sql(statement.replace("%", "%%"))
    return [statement]


def _exists(connection: Connection, role: str) -> bool:
    return connection.execute(_ROLE, {"name": role}).one_or_none() is not None


def _is_member(connection: Connection, member: str, role: str) -> bool:
    return bool(connection.execute(_IS_MEMBER, {"member": member, "role": role}).scalar_one())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
