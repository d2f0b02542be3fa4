"""SQL that is put together from a mapping: quoted names and literals, and statements run without parameters."""

from typing import Any

from sqlalchemy import Connection, CursorResult
from sqlalchemy.orm import Session


def quoted(*names: str) -> str:
    """A name, or a name with its schema, as an identifier."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(value: str) -> str:
    """A text as a literal; PostgreSQL refuses NUL, so it is left out."""
    escaped = value.replace("\0", "").replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'" if "\\" in escaped else f"'{escaped}'"


def run(on: Session | Connection, statement: str) -> CursorResult[Any]:
    """Run a statement that holds its values itself."""
    connection = on if isinstance(on, Connection) else on.connection()
    return connection.exec_driver_sql(statement.replace("%", "%%"))
